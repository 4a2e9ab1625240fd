"""The tokenizer of libparagraph.so through its C interface, for the scripts beside this one."""
import ctypes
import os


class Failure(Exception):
    pass


class Tokenizer:
    """para_tokenizer of a folder, a GGUF file, or, without a path, bytes."""

    def __init__(self, library, path=None):
        self.c = ctypes.CDLL(os.path.abspath(library))
        self.error = ctypes.create_string_buffer(4096)
        self.handle = ctypes.c_void_p()
        self.c.para_tokenizer_vocab.restype = ctypes.c_int64
        self.c.para_tokenizer_token.restype = ctypes.c_void_p
        for name in ("before", "after"):
            getattr(self.c, "para_tokenizer_" + name).restype = ctypes.POINTER(ctypes.c_int32)
        self._check(self.c.para_tokenizer_open(ctypes.byref(self.handle), path and os.fsencode(path), self.error))

    def __del__(self):
        self.c.para_tokenizer_free(self.handle)

    def _check(self, status):
        if status:
            raise Failure(self.error.raw[4:].split(b"\0")[0].decode(errors="replace"))

    def vocab(self):
        return self.c.para_tokenizer_vocab(self.handle)

    def encode(self, text, specials):
        text = text.encode()
        ids, count = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_int64()
        self._check(self.c.para_tokenizer_encode(self.handle, text, ctypes.c_size_t(len(text)), ctypes.c_bool(specials),
                                                 ctypes.byref(ids), ctypes.byref(count), self.error))
        result = ids[:count.value] if count.value else []
        self.c.para_tokens_free(ids)
        return result

    def encode_blocks(self, text, specials, lengths):
        """The ids of a text that comes in blocks; `lengths` gives the bytes of each."""
        text, result, at = text.encode(), [], 0
        encoder, ids, count = ctypes.c_void_p(), ctypes.POINTER(ctypes.c_int32)(), ctypes.c_int64()
        self._check(self.c.para_encoder_new(ctypes.byref(encoder), self.handle, ctypes.c_bool(specials), self.error))
        while at < len(text):
            block = text[at:at + next(lengths)]
            self._check(self.c.para_encoder_feed(encoder, block, ctypes.c_size_t(len(block)), ctypes.byref(ids),
                                                 ctypes.byref(count), self.error))
            result += ids[:count.value] if count.value else []
            at += len(block)
        self._check(self.c.para_encoder_finish(encoder, ctypes.byref(ids), ctypes.byref(count), self.error))
        result += ids[:count.value] if count.value else []
        self.c.para_encoder_free(encoder)
        return result

    def around(self):
        """The ids before a text and those after it."""
        both = []
        for name in ("before", "after"):
            count = ctypes.c_int64()
            ids = getattr(self.c, "para_tokenizer_" + name)(self.handle, ctypes.byref(count))
            both.append(ids[:count.value] if count.value else [])
        return both

    def decode(self, ids):
        decoder, text, count, result = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_size_t(), b""
        self._check(self.c.para_decoder_new(ctypes.byref(decoder), self.handle, self.error))
        for token in ids:
            self._check(self.c.para_decoder_feed(decoder, ctypes.c_int64(token), ctypes.byref(text),
                                                 ctypes.byref(count), self.error))
            result += ctypes.string_at(text, count.value) if count.value else b""
        self.c.para_decoder_finish(decoder, ctypes.byref(text), ctypes.byref(count))
        result += ctypes.string_at(text, count.value) if count.value else b""
        self.c.para_decoder_free(decoder)
        return result
