"""libnftables in this process: a hundred rulesets in the time that a dozen calls of nft take."""

from __future__ import annotations

import ctypes
import ctypes.util

from bascule.system.net.netns import Namespace

HANDLE, JSON = 1 << 3, 1 << 4  # NFT_CTX_OUTPUT_HANDLE and NFT_CTX_OUTPUT_JSON in nftables/libnftables.h


class Nft:
    """nft in one namespace. Raises OSError where the library is not here."""

    def __init__(self, namespace: Namespace) -> None:
        self._library = ctypes.CDLL("libnftables.so.1")
        self._library.nft_ctx_new.restype = ctypes.c_void_p
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(self._library, name).restype = ctypes.c_char_p
        with namespace.entered():
            self._context = ctypes.c_void_p(self._library.nft_ctx_new(0))
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def run(self, text: str, flags: int = 0) -> tuple[str, str]:
        """What nft says to commands, and what it has against them."""
        self._library.nft_ctx_output_set_flags(self._context, ctypes.c_uint(flags))
        failed = self._library.nft_run_cmd_from_buffer(self._context, text.encode())
        said = self._library.nft_ctx_get_output_buffer(self._context).decode()
        against = self._library.nft_ctx_get_error_buffer(self._context).decode()
        return said, (against or "refused") if failed else ""

    def close(self) -> None:
        """Give the library's memory back."""
        self._library.nft_ctx_free(self._context)
