"""Data of labelling tasks for fine-tuning: settings, files, types, and streamed files."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

from albert_zh.common.errors import UserError
from albert_zh.tasks import task_type
from albert_zh.tasks.labelling import flags as labelling_flags
from albert_zh.tasks.labelling import (
    granularity_data,
    granularity_names,
    predictions,
    spans,
    splits,
)
from albert_zh.tasks.tables import label_rules
from albert_zh.text import tokenization


class LabelledTexts(label_rules.LabelRules):
    """Rules for examples whose label is a list of spans."""

    has_several_labels = True
    label_key = "entities"

    def is_possible(self, num_outputs: int) -> bool:
        return True

    def labels_of_cell(self, cell: Any, separator: str) -> List[str]:
        return [span.type for span in cell or ()]

    def problem(self, cell: str) -> Optional[str]:
        return None

    def labels_to_spread(self, labels: Sequence[str]) -> List[Any]:
        different = sorted(set(labels))
        return different + [len(different)]


class LabelledDataFlags(labelling_flags.LabellingFlags):
    """Flags of labelling that affect files."""

    def with_files(self, task: Any) -> Any:
        return task._replace(files=granularity_names.files_of(task.head, task.files))

    def head_in_use(self, head: Dict[str, Any], granularity: Optional[str]) -> Dict[str, Any]:
        return granularity_names.with_chosen(head, granularity)


class LabelledData(task_type.TaskType):
    """Reads the data of the kinds of task that label texts."""

    flags = LabelledDataFlags()
    rules = LabelledTexts()

    # Settings

    def settings(self, options: Any, trained: Dict[str, Any]) -> Any:
        settings = super().settings(options, trained)
        if "head" not in trained:
            return settings
        of_model = {
            "head": trained["head"].get("form"),
            "half_width": trained["head"].get("half_width", False),
        }
        for name, value in of_model.items():
            if options[name].present and options[name].value != value:
                raise UserError(
                    "the model was trained with --%s=%s, the flags ask for %s"
                    % (name, value, options[name].value)
                )
        labelling_flags.check_stride(options)
        names = labelling_flags.READING + ("granularity", "stride")
        given = {name: options[name].value for name in names if options[name].present}
        head = dict(trained["head"], **given)
        granularity_names.check_chosen(head)
        return settings._replace(head=head)

    def settings_of_data(self, settings: Any, task: Any, train: Any, options: Any) -> Any:
        if not granularity_names.names(settings.head):
            return settings
        tokenizer = tokenization.FullTokenizer(
            options.vocab_file, options.do_lower_case, options.spm_model_file
        )
        texts = [example.text_a for example in train.examples]
        return settings._replace(head=granularity_data.with_tokens(settings.head, tokenizer, texts))

    # Data

    def read_split(
        self, task: Any, data_dir: str, split: str, encoding: str, skip_bad_rows: bool
    ) -> Any:
        return splits.read_split(task, data_dir, split, encoding)

    def with_labels(self, task: Any, train: Any) -> Any:
        types = spans.types_of([example.source for example in train.examples])
        if not types:
            raise UserError("%s: has no entities, expected at least one to train on" % train.path)
        if "" in types and len(types) > 1:
            raise UserError(
                "%s: some spans have no type, as words, and others have one, such as %s: expected "
                "only words, or a type for every span" % (train.path, types[1])
            )
        if types == [""]:
            splits.check_may_be_words(task, train)
        return task._replace(
            columns=("text_a", "label"), header=(), labels=self.labels_of(task, train, types)
        )

    def labels_of(self, task: Any, train: Any, types: Sequence[str]) -> Tuple[str, ...]:
        """Returns the labels of the model's outputs: the tags of the types."""
        return splits.labels_of(types, splits.scheme_of(train, types, task.head.get("tag_scheme")))

    def types_of(self, task: Any) -> List[str]:
        """Returns the sorted types of a model's spans; [""] for a segmentation."""
        return splits.types_of_tags(task.labels)

    def scheme_of(self, task: Any) -> Any:
        """Returns the `Scheme` of written tags; None if spans may be nested."""
        return predictions.tag_table(tuple(task.labels))[1]

    def about_data(
        self, task: Any, splits_of_run: Dict[str, Any]
    ) -> Tuple[List[str], Dict[str, int]]:
        lines, remarks = super().about_data(task, splits_of_run)
        for name, split in splits_of_run.items():
            if name != "train":
                splits.check_types(self.types_of(task), split)
        return lines, remarks

    def open_stream(
        self, task: Any, path: str, encoding: str, skip_bad_rows: bool = False
    ) -> task_type.StreamedFile:
        notes, examples = splits.stream(task, path, encoding, self.types_of(task))
        return task_type.StreamedFile(notes, ((example, None) for example in examples))
