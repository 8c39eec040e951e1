"""`FLAGS` of a command's module, for importing programs: `run_classifier.FLAGS.data_dir`.

    _flags = CommandFlags(__name__, define_flags)
    __getattr__ = _flags.attribute

The flags are defined when `FLAGS` is first read. The commands in the root, which have the names of
the original, read it on import, since the original defines its flags then; the commands of the
package do not change absl's flags on import. If a program imports two commands, flags of the same
name are parsed once, and each command's `FLAGS` has the command's own defaults.
"""

from typing import Any, Callable, Dict, Iterator, Optional

from absl import flags

__all__ = ["CommandFlags"]


class CommandFlags:
    """The flags of a command, which are defined once."""

    def __init__(
        self,
        module: str,
        define_flags: Callable[[], None],
        defaults_of_original: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Stores the function that defines the flags.

        Args:
            module: name of the command's module.
            define_flags: function that defines the flags.
            defaults_of_original: {name: value} that programs see for flags whose default is None
                because the command itself chooses the value.
        """
        self._module = module
        self._define_flags = define_flags
        self._defaults_of_original = defaults_of_original or {}
        self._own: Dict[str, flags.Flag] = {}
        self._modules: Dict[str, str] = {}  # {flag name: module that defines it}
        self._values: Any = None

    def define(self) -> None:
        """Defines the flags once; a program's flags may have the same names.

        A program's flag takes precedence, whether it is defined before or after; so does the flag
        of a command imported earlier, while this command's `FLAGS` keeps its own defaults.
        """
        if self._values is not None:
            return
        before, modules = _defined_flags()
        of_program = [name for name, flag in before.items() if not flag.allow_override]
        for name in of_program:
            before[name].allow_override = True
        self._define_flags()
        defined, self._modules = _defined_flags()
        self._own = {name: flag for name, flag in defined.items() if flag is not before.get(name)}
        for name, flag in self._own.items():
            flag.allow_override = True
            if name in before:
                _register(name, before[name], modules[name])
        for name in of_program:
            before[name].allow_override = False
            self._own.pop(name, None)
        self._set_defaults(self._defaults_of_original)
        shares_names = any(flags.FLAGS[name] is not flag for name, flag in self._own.items())
        self._values = _CommandValues(self._own) if shares_names else flags.FLAGS

    def use(self) -> None:
        """Registers the command's flags with absl, keeping the values already set, to run it."""
        self.define()
        self._set_defaults(dict.fromkeys(self._defaults_of_original))
        for name, flag in self._own.items():
            parsed = flags.FLAGS[name]
            if not parsed.allow_override:  # the program has defined it since
                continue
            if _is_set(parsed) and not _is_set(flag):
                flag.value, flag.present = parsed.value, parsed.present
                flag.using_default_value = False
            if flag is not parsed:
                _register(name, flag, self._modules[name])

    def _set_defaults(self, defaults: Dict[str, Any]) -> None:
        for name, default in defaults.items():
            flag = self._own.get(name)  # None: the program has a flag of that name
            if flag is not None and not _is_set(flag):
                flag.value = default

    def attribute(self, name: str) -> Any:
        """The function to use as `__getattr__` of a module that has `FLAGS`.

        Args:
            name: name of a missing attribute.

        Returns:
            absl's flags, including the command's.

        Raises:
            AttributeError: for any name other than `FLAGS`.
        """
        if name != "FLAGS":
            raise AttributeError("module %r has no attribute %r" % (self._module, name))
        self.define()
        return self._values


def _defined_flags():
    """({name: flag}, {name: module that defines it}) of absl's flags."""
    defined = {name: flags.FLAGS[name] for name in flags.FLAGS}
    return defined, {name: flags.FLAGS.find_module_defining_flag(name) for name in defined}


def _register(name, flag, module):
    """Registers a flag under its name again, also for --help."""
    flags.FLAGS[name] = flag
    flags.FLAGS.register_flag_by_module(module, flag)


def _is_set(flag):
    """Whether a user or program has set a flag; setting it by an alias only counts `present`."""
    return bool(flag.present) or not flag.using_default_value


class _CommandValues:
    """absl's flags, with the command's own defaults for its flags that nobody has set."""

    def __init__(self, own: Dict[str, flags.Flag]) -> None:
        self.__dict__["_own"] = own

    def __getitem__(self, name: str) -> flags.Flag:
        parsed = flags.FLAGS[name]
        own = self._own.get(name) if parsed.allow_override else None  # else the program's
        return parsed if own is None or (_is_set(parsed) and not _is_set(own)) else own

    def __getattr__(self, name: str) -> Any:
        value = getattr(flags.FLAGS, name)  # raises absl's error if flags are not parsed
        return self[name].value if name in flags.FLAGS else value

    def __setattr__(self, name: str, value: Any) -> None:
        own = self._own.get(name)
        if own is None or own is flags.FLAGS[name] or not flags.FLAGS[name].allow_override:
            setattr(flags.FLAGS, name, value)
        else:
            own.value, own.using_default_value = value, False

    def __contains__(self, name: str) -> bool:
        return name in flags.FLAGS

    def __iter__(self) -> Iterator[str]:
        return iter(flags.FLAGS)

    def __len__(self) -> int:
        return len(flags.FLAGS)

    def __dir__(self):
        return dir(flags.FLAGS)

    def __call__(self, argv, known_only: bool = False):
        return flags.FLAGS(argv, known_only=known_only)

    def flag_values_dict(self) -> Dict[str, Any]:
        """{name: value} of all flags."""
        return {name: self[name].value for name in self}
