"""Target spaces on devices: encoding texts, and ranking them."""
