"""Takes config and vocabulary from the folder of `--init_checkpoint` if no flag names them."""

import os
from typing import Any

from albert_zh.common import storage
from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import checkpoint_files, model_folder
from albert_zh.text import tokenization


def take(options: Any) -> None:
    """Sets the flags of config and vocabulary to the files next to the initial checkpoint.

    Args:
        options: the flags.

    Raises:
        UserError: if no flag names a config, and there is not exactly one next to the checkpoint.
    """
    if not options.init_checkpoint:
        return
    is_vocabulary_named = bool(options.vocab_file or options.spm_model_file)
    if options.bert_config_file and is_vocabulary_named:
        return
    folder = os.path.dirname(checkpoint_files.find_checkpoint(options.init_checkpoint)) or os.curdir
    if not options.bert_config_file:
        try:
            options["bert_config_file"].value = model_folder.config_in_folder(folder)
        except UserError as error:
            raise UserError("--bert_config_file is required, as %s" % error) from error
    beside = tokenization.vocabulary_in_folder(folder)
    if not is_vocabulary_named and storage.exists(beside):
        is_sentencepiece = tokenization.is_sentencepiece(beside)
        options["spm_model_file" if is_sentencepiece else "vocab_file"].value = beside
