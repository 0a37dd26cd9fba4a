"""The optional native kernels; everything else about the package is in pyproject.toml."""

from setuptools import Extension, setup

AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx2", "-mfma"]
KERNELS = ("window_block", "predictor", "window_mixing", "window_attention")
HEADERS = ("vectors", "attention", "window_filter")
LEVELS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": AVX512,
    "avx512_bf16": [*AVX512, "-mavx512bf16"],
}

# Where a compiler is missing or does not know the instructions, the plain path computes.
extensions = [
    Extension(
        f"unsmear.native._{level}",
        [f"src/unsmear/native/{kernel}.cpp" for kernel in KERNELS],
        depends=[f"src/unsmear/native/{header}.h" for header in HEADERS],
        extra_compile_args=[
            "-std=c++17",
            "-O3",
            "-ffp-contract=fast",
            "-fno-math-errno",
            "-g0",
            *flags,
        ],
        extra_link_args=["-pthread"],
        py_limited_api=True,  # it uses nothing of Python's, so one wheel serves every version
        optional=True,
    )
    for level, flags in LEVELS.items()
]

setup(ext_modules=extensions, options={"bdist_wheel": {"py_limited_api": "cp310"}})
