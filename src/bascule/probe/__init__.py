"""Ask with real frames, from inside any namespace.

``ask`` puts many questions at once; ``Watch`` sees their frames pass at many points; ``pairs`` asks everybody for
everybody.
"""
