"""What a process that we start is told of our environment: what it needs, and no keys.

Environments hold the keys of providers, and every process of this user can read those of its
children. So this is a list of what passes, and not of what does not.
"""

from __future__ import annotations

import os
import re

__all__ = ["environment"]

# Where programs and libraries are, where temporary files go, the language, and how llama.cpp's
# libraries use the processor and graphics cards. Not LLAMA_*: a key and addresses are among them.
_PASSES = re.compile(
    r"PATH|HOME|TMPDIR|TEMP|TMP|TZ|LANG|LC_[A-Z]+|SYSTEMROOT|WINDIR|COMSPEC|PATHEXT|USERPROFILE"
    r"|LOCALAPPDATA|APPDATA|NUMBER_OF_PROCESSORS|PROCESSOR_[A-Z]+|LD_LIBRARY_PATH|DYLD_[A-Z_]+"
    r"|PYTHON(HOME|UTF8|IOENCODING|DONTWRITEBYTECODE)|VIRTUAL_ENV"
    r"|(OMP|GOMP|KMP|MKL|OPENBLAS|GGML|CUDA|NVIDIA|HIP|HSA|ROCR|AMD|VK|MTL|SYCL|ONEAPI)_[A-Z0-9_]+"
)
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH")


def environment() -> dict[str, str]:
    """The variables of this process that its child needs."""
    return {
        name: value
        for name, value in os.environ.items()
        if _PASSES.fullmatch(name.upper()) and not _SECRET.search(name.upper().replace("PATH", ""))
    }
