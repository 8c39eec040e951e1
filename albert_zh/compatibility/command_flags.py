"""`FLAGS` of a command's module, for programs that import it: `run_classifier.FLAGS.data_dir`.

    _flags = CommandFlags(__name__, define_flags)
    __getattr__ = _flags.attribute

The flags are defined where `FLAGS` is first read. The commands in the root, which have the
original's names, read it where they are imported, as the original defines its flags there; those
of the package leave absl's flags as they are.
"""

from typing import Any, Callable

from absl import flags

__all__ = ["CommandFlags"]


class CommandFlags:
    """The flags of a command, defined once."""

    def __init__(self, module: str, define_flags: Callable[[], None]) -> None:
        """Keeps what defines the flags.

        Args:
            module: name of the command's module.
            define_flags: function that defines the flags.
        """
        self._module = module
        self._define_flags = define_flags
        self._is_defined = False

    def define(self) -> None:
        """Defines the flags, if they are not; those of a program may take their names.

        A program's flag of such a name stays, whether it is defined before or after; another
        command's gives way.
        """
        if self._is_defined:
            return
        of_program = {}
        for name in flags.FLAGS:
            if not flags.FLAGS[name].allow_override:
                of_program[name] = flags.FLAGS[name]
                of_program[name].allow_override = True
        self._define_flags()
        for name in flags.FLAGS:
            flags.FLAGS[name].allow_override = True
        for name, flag in of_program.items():
            if flags.FLAGS[name] is not flag:
                flags.FLAGS[name] = flag
            flag.allow_override = False
        self._is_defined = True

    def attribute(self, name: str) -> Any:
        """What a module that has `FLAGS` uses as `__getattr__`.

        Args:
            name: of an attribute that the module lacks.

        Returns:
            absl's flags, with the command's among them.

        Raises:
            AttributeError: for another name than `FLAGS`.
        """
        if name != "FLAGS":
            raise AttributeError("module %r has no attribute %r" % (self._module, name))
        self.define()
        return flags.FLAGS
