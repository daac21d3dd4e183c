"""Who is wired to whom: links, switches, segments, routers and endpoints, from a site file, a host's state, or both.

Pure, and the only reading of layer 2: loops, the administrator's line, the twin's wiring, the picture and the path
between two endpoints are functions over it.
"""
