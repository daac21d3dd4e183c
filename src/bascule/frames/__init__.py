"""Frames as bytes, once for probing and for surveying: codecs, dissector, filters, capture files. Pure."""
