"""Writers of the formats that others read."""
