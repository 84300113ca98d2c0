"""Wire formats: how requests and replies look, one file each, without I/O. Brands are data."""
