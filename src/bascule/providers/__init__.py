"""Who keeps which part of a host's state, a folder each; :mod:`bascule.providers.registry` is the list of them."""
