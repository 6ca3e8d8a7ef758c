"""The two forms in which numba compiles a kernel here: an entry, which Python calls, and a callee, which kernels call.

numba's own way gives each kernel both: a wrapper for Python, one for C, machine code, and LLVM code to be linked into
its callers, which optimise and compile it all again. Most kernels here are called by kernels alone. A callee is
therefore LLVM code and nothing else, and it is optimised as part of the entry that it ends up in; an entry has no
wrapper for C. That halves the time of a cold start.
"""

from typing import Any, Final

import llvmlite.binding as llvm
from numba.core import compiler
from numba.core.codegen import CPUCodeLibrary
from numba.core.compiler import CompileResult
from numba.core.dispatcher import _FunctionCompiler  # type: ignore[attr-defined]
from numba.core.errors import TypingError


class EntryCompiler(_FunctionCompiler):  # type: ignore[misc]
    """Makes machine code and a wrapper for Python."""

    kind: Final = "entry"

    def _customize_flags(self, flags: Any) -> Any:
        flags.no_cfunc_wrapper = True
        return flags

    def _compile_core(self, args: Any, return_type: Any) -> CompileResult:
        result = super()._compile_core(args, return_type)
        # Environments of the callees in it: each kernel's own is set by numba, which expects callees to be entries too.
        for environment in result._find_referenced_environments():
            result.codegen.set_env(environment.env_name, environment)
        return result

    @staticmethod
    def rebuild(target_context: Any, reduced: Any) -> CompileResult:
        """The compiled result whose `_reduce` gave `reduced`."""
        return CompileResult._rebuild(target_context, *reduced)


class CalleeCompiler(_FunctionCompiler):  # type: ignore[misc]
    """Makes LLVM code."""

    kind: Final = "callee"

    def _customize_flags(self, flags: Any) -> Any:
        flags.no_compile = True
        flags.no_cpython_wrapper = True
        flags.no_cfunc_wrapper = True
        return flags

    def _compile_core(self, args: Any, return_type: Any) -> CompileResult:
        flags = compiler.Flags()
        self.targetdescr.options.parse_as_flags(flags, self.targetoptions)
        target_context = self.targetdescr.target_context
        result = compiler.compile_extra(
            self.targetdescr.typing_context,
            target_context,
            self.py_func,
            args,
            return_type,
            self._customize_flags(flags),
            self.locals,
            CalleeLibrary(target_context.codegen(), self.py_func.__qualname__),
            self.pipeline_class,
        )
        if flags.nrt and "array(" in str(result.signature.return_type):
            raise TypingError(
                f"kernel {self.py_func.__qualname__} returns an array that it allocated, which its caller would leak: "
                "let the caller give it one to write to"
            )
        return result

    @staticmethod
    def rebuild(target_context: Any, reduced: Any) -> CompileResult:
        """The compiled result whose `_reduce` gave `reduced`."""
        (name, bitcode), fndesc, environment, signature, _, _, _, _, environments = reduced
        library = CalleeLibrary(target_context.codegen(), name)
        library.take(bitcode)
        return compiler.compile_result(
            target_context=target_context,
            typing_context=target_context.typing_context,
            library=library,
            environment=environment,
            fndesc=fndesc,
            signature=signature,
            objectmode=False,
            referenced_envs=environments,
        )


class CalleeLibrary(CPUCodeLibrary):  # type: ignore[misc]
    """LLVM code of a callee and of all that it calls, to be linked into its callers."""

    def _optimize_final_module(self) -> None:
        """Nothing: entries optimise it, with what they are themselves."""

    def _finalize_final_module(self) -> None:
        """Leave it at LLVM code, where numba's own makes machine code."""
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True

    def take(self, bitcode: bytes) -> None:
        """Become what another process saved."""
        self._final_module = llvm.parse_bitcode(bitcode)
        self._finalize_final_module()

    def serialize_using_object_code(self) -> tuple[str, bytes]:
        """What `take` takes, under the name that numba asks for."""
        self._ensure_finalized()
        return self.name, self._final_module.as_bitcode()
