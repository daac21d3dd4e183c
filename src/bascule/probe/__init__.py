"""Ask with real frames, from inside any namespace.

``ask`` puts many questions at once; ``CaptureSession`` sees their frames pass at many points.
"""
