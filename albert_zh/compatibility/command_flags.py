"""`FLAGS` of a command's module, for programs that import it: `run_classifier.FLAGS.data_dir`.

    _flags = CommandFlags(__name__, define_flags)
    __getattr__ = _flags.attribute

The original defines its flags where it is imported. Here they are defined where a program first
asks for `FLAGS`, so that two commands can be imported side by side.
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
        """Defines the flags, if they are not; those of a program may take their names."""
        if self._is_defined:
            return
        before = {name: flags.FLAGS[name] for name in flags.FLAGS}
        self._define_flags()
        for name in flags.FLAGS:
            if flags.FLAGS[name] is not before.get(name):
                flags.FLAGS[name].allow_override = True
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
