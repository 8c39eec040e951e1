"""Names of the inputs and outputs of exported models."""

from typing import Any, Mapping, Optional, Sequence, Tuple

# The second name is the one in TFLite metadata.
_INPUT_ALIASES = (("input_ids", "ids"), ("input_mask", "mask"), ("segment_ids",))
INPUT_NAMES = tuple(aliases[0] for aliases in _INPUT_ALIASES)


def inputs_in_order(by_name: Mapping[str, Any], further: Sequence[str] = ()) -> Optional[Tuple]:
    """The inputs for ids, mask and segments, and further inputs.

    Args:
        by_name: {name: input}.
        further: names of the further inputs.

    Returns:
        tuple of inputs; None if one is missing.
    """
    aliases_of_inputs = _INPUT_ALIASES + tuple((name,) for name in further)
    ordered = tuple(
        next((by_name[alias] for alias in aliases if alias in by_name), None)
        for aliases in aliases_of_inputs
    )
    return None if None in ordered else ordered


def misfit(
    path: str,
    input_names: Sequence[str],
    output_names: Sequence[str],
    found_inputs: Sequence[str],
    found_outputs: Sequence[str],
) -> str:
    """The error message for a file that lacks an input or an output.

    Args:
        path: the file.
        input_names: names of the expected inputs.
        output_names: names of the expected outputs.
        found_inputs: names of the inputs of the file.
        found_outputs: names of the outputs of the file.
    """
    return (
        "%s: expected inputs %s and outputs %s, found inputs %s and outputs %s: export a "
        % (
            path,
            ", ".join(input_names),
            ", ".join(output_names),
            ", ".join(sorted(found_inputs)) or "none",
            ", ".join(sorted(found_outputs)) or "none",
        )
        + "fine-tuned model"
    )
