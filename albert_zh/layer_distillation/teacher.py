"""A teacher in the student's graph: read from a model folder, neither trained nor saved."""

import os
from typing import Any, Dict, MutableMapping, Set
import weakref

import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError, naming
from albert_zh.model.checkpoints import (
    checkpoint_matching,
    checkpoint_values,
    expected_variables,
    model_folder,
)
from albert_zh.model.encoder import AlbertModel
from albert_zh.text import tokenization

SCOPE = "teacher"
_BEST_FOLDERS = ("best", "student")  # where runs of this toolkit save their model


def folder_of_model(path: str) -> str:
    """Returns the model folder in a run's output folder, or else the path itself.

    Args:
        path: model folder, checkpoint prefix, or the output folder of a fine-tuning or a
            distillation.
    """
    for name in _BEST_FOLDERS:
        folder = os.path.join(path, name)
        if os.path.isdir(folder):
            return folder
    return path


class Teacher:
    """A model from whose intermediate layers a student learns.

    Attributes:
        path: the teacher's folder or checkpoint.
        config: `AlbertConfig`.
        tokenizer: `FullTokenizer` with the teacher's vocabulary.
        num_outputs: number of outputs of a task's head; None if the model has no such head.
        fingerprint: fingerprint of the weights.
    """

    def __init__(self, path: str, flag: str = "teacher_model") -> None:
        """Opens a teacher.

        Args:
            path: as in `folder_of_model`.
            flag: name of the flag that names the teacher, for error messages.

        Raises:
            UserError: if the path is not a model, its weights do not fit its config, or it has no
                vocabulary.
        """
        self.path = folder_of_model(path)
        with naming("--" + flag):
            opened = model_folder.open_folder(self.path)
        self.config = opened.config
        self.num_outputs = opened.num_outputs()
        self._prefix = opened.prefix
        self._built_on: MutableMapping[tf.Graph, Set[int]] = weakref.WeakKeyDictionary()
        checkpoint_values.check_readable(self._prefix)
        checkpoint_matching.assign(expected_variables.expected_shapes(self.config), self._prefix)
        self.fingerprint = checkpoint_values.fingerprint(self._prefix)
        vocab_file = tokenization.vocabulary_in_folder(opened.folder)
        if not os.path.exists(vocab_file):
            raise UserError(
                "--%s=%s has no vocabulary: expected vocab.txt or spiece.model next to its "
                "checkpoint" % (flag, path)
            )
        self.tokenizer = tokenization.FullTokenizer(
            vocab_file, opened.notes.get("do_lower_case", True)
        )
        tokenization.check_num_entries(
            vocab_file, len(self.tokenizer.inv_vocab), self.config.vocab_size
        )

    def model(
        self,
        input_ids: tf.Tensor,
        input_mask: tf.Tensor,
        segment_ids: tf.Tensor,
        precision: str = "float32",
        has_dropout: bool = False,
    ) -> AlbertModel:
        """Builds the teacher's encoder; its weights are local variables, which are never saved.

        Args:
            input_ids: int tensor [B, T], ids in the teacher's vocabulary.
            input_mask: int tensor [B, T].
            segment_ids: int tensor [B, T].
            precision: as in `AlbertModel`.
            has_dropout: whether dropout is applied, as in TinyBERT's teacher by mistake.
        """
        created: Dict[str, Any] = {}

        def local_variable(getter, name, *args, **kwargs):
            kwargs.update(collections=[tf.GraphKeys.LOCAL_VARIABLES], trainable=False)
            variable = getter(name, *args, **kwargs)
            created[name[len(SCOPE) + 1 :]] = variable
            return variable

        with tf.variable_scope(SCOPE, reuse=tf.AUTO_REUSE, custom_getter=local_variable):
            model = AlbertModel(
                self.config,
                has_dropout,
                input_ids,
                input_mask,
                tf.minimum(segment_ids, self.config.type_vocab_size - 1),
                scope=self.config.scope,
                precision=precision,
                keeps_attention=True,
            )
        if self._is_first_on_replica():
            self._start_from_checkpoint(created)
        return model

    def _is_first_on_replica(self):
        """Whether a replica calls this for the first time in a graph; each assigns weights once."""
        number = 0
        if tf.distribute.has_strategy():
            context = tf.distribute.get_replica_context()
            number = int(tf.get_static_value(context.replica_id_in_sync_group))
        built_on = self._built_on.setdefault(tf.get_default_graph(), set())
        is_first = number not in built_on
        built_on.add(number)
        return is_first

    def _start_from_checkpoint(self, variables):
        """Initializes variables {name in the checkpoint: variable} from the checkpoint."""
        shapes = {name: variable.shape.as_list() for name, variable in variables.items()}
        names = checkpoint_matching.assign(shapes, self._prefix).names
        with tf.init_scope():  # not in the loop over the parts of a batch, if there is one
            tf.train.init_from_checkpoint(
                self._prefix, {source: variables[name] for source, name in names.items()}
            )
