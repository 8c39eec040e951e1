"""Downloads released models, their vocabulary, and public data sets.

    python scripts/fetch_assets.py --list
    python scripts/fetch_assets.py albert_tiny_489k lcqmc
    python scripts/fetch_assets.py albert_base_zh --url http://mirror.example/albert_base_zh.zip

Models are stored in prev_trained_model/NAME/, data in chineseGLUEdatasets/ and CLUEdataset/. An
interrupted download is resumed. ALBERT_OFFLINE=1 forbids all downloads; ALBERT_MODELS_URL,
ALBERT_CLUE_MODELS_URL, ALBERT_CLUE_URL and ALBERT_LCQMC_URL set other base URLs. Exit status: 0
everything is in place, 2 user error or broken file, 3 not reachable (the highest of several).
"""

import argparse
import collections
import difflib
import glob
import os
import re
import shutil
import sys
from typing import List, Optional
import urllib.parse

PROJECT_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, PROJECT_ROOT)

from albert_zh.common import validation
from albert_zh.common.errors import (
    EXIT_INTERRUPTED,
    EXIT_USER_ERROR,
    UserError,
    printable,
    run_program,
)
from albert_zh.common.files import read_bytes
from albert_zh.common.folder_locks import one_at_a_time
from albert_zh.common.output_files import atomic_write
from albert_zh.common.path_rules import output_folder
from albert_zh.common.storage import sha256_of_file
from downloading import (
    NoSpace,
    NotReachable,
    checked_address,
    discard,
    download,
    megabytes,
)
from unpacking import check_is_zip, unpack

EXIT_NOT_REACHABLE = 3
_LONGEST_NAME = 60  # of a model from the user's own address, as it becomes part of file names

# Base URLs; each can be changed with the environment variable under which it is listed.
ADDRESSES = {
    "ALBERT_MODELS_URL": "https://storage.googleapis.com/albert_zh",
    "ALBERT_CLUE_MODELS_URL": "https://storage.googleapis.com/cluebenchmark/pretrained_models",
    "ALBERT_CLUE_URL": "https://storage.googleapis.com/cluebenchmark/tasks",
    "ALBERT_LCQMC_URL": "https://raw.githubusercontent.com/pengming617/text_matching/master/data",
}

# kind: "model" or "data" (in a zip archive), "pairs" (text files, not packed).
# files: the files to download from the address.  folder: the target folder.
Asset = collections.namedtuple("Asset", "name kind address files folder about")


def _model(name, about, folder=None, address="ALBERT_MODELS_URL"):
    folder = os.path.join("prev_trained_model", folder or name)
    return Asset(name, "model", address, (name + ".zip",), folder, about)


def _clue(name, about, archive=None):
    files = ((archive or name) + "_public.zip",)
    folder = os.path.join("CLUEdataset", name)
    return Asset(name, "data", "ALBERT_CLUE_URL", files, folder, about)


ASSETS = (
    _model("albert_tiny_489k", "ALBERT, 4 layers, 312 hidden units", folder="albert_tiny_zh"),
    _model("albert_tiny", "ALBERT, 4 layers, 312 hidden units, the first that was released"),
    _model("albert_tiny_zh_google", "ALBERT in Google's layout, 4 layers, 312 hidden units"),
    _model("albert_small_zh_google", "ALBERT in Google's layout, 6 layers, 384 hidden units"),
    _model("albert_base_zh", "ALBERT, 12 layers, 768 hidden units"),
    _model("albert_base_zh_additional_36k_steps", "ALBERT base, trained for 36,000 steps more"),
    _model("albert_large_zh", "ALBERT, 24 layers, 1,024 hidden units"),
    _model("albert_xlarge_zh_177k", "ALBERT, 24 layers, 2,048 hidden units, after 177,000 steps"),
    _model("albert_xlarge_zh_183k", "the same after 183,000 steps"),
    _model("RoBERTa-tiny-clue", "plain BERT layout, tiny", address="ALBERT_CLUE_MODELS_URL"),
    _model("RoBERTa-tiny-pair", "the same for text pairs", address="ALBERT_CLUE_MODELS_URL"),
    Asset(
        "lcqmc",
        "pairs",
        "ALBERT_LCQMC_URL",
        ("train.txt", "dev.txt", "test.txt"),
        os.path.join("chineseGLUEdatasets", "lcqmc"),
        "question pairs: same meaning or not",
    ),
    _clue("afqmc", "CLUE: question pairs of a payment service"),
    _clue("tnews", "CLUE: news titles, 15 topics"),
    _clue("iflytek", "CLUE: descriptions of apps, 119 topics"),
    _clue("cmnli", "CLUE: natural language inference"),
    _clue("csl", "CLUE: keywords of scientific abstracts"),
    _clue("wsc", "CLUE: pronouns and what they mean", archive="cluewsc2020"),
)

# The files that a folder of each kind must have to be complete; `|` separates alternatives.
REQUIRED_FILES = {
    "model": (
        "albert_config*.json|bert_config*.json|config.json",
        "*.index",
        "*.data-*",
        "vocab*.txt",
    ),
    "data": ("train.json", "dev.json"),
    "pairs": ("train.txt", "dev.txt", "test.txt"),
}

# The vocabulary of all released albert_zh models; old command lines use this path for it.
RELEASED_VOCABULARY_SHA256 = "45bbac6b341c319adc98a532532882e91a9cefc0329aa57bac9ae761c27b291c"
SHARED_VOCABULARY = os.path.join("albert_config", "vocab.txt")


def main(arguments: Optional[List[str]] = None, root: str = PROJECT_ROOT) -> int:
    """Fetches the assets that the command line names.

    Args:
        arguments: the command line arguments; by default those of this process.
        root: the folder below which all assets are stored.

    Returns:
        the exit status.
    """
    options = _parse(arguments)
    try:
        if options.list:
            _check_list_is_alone(options)
            _print_list(root)
            return 0
        assets = _chosen_assets(options.names, options.url)
        return max(_status_of_fetching(asset, root, options.url) for asset in assets)
    except UserError as error:
        return _report(error)
    except KeyboardInterrupt:
        print("stopped; run the same command again to continue from here", file=sys.stderr)
        return EXIT_INTERRUPTED


def fetch(asset: Asset, root: str = PROJECT_ROOT, url: Optional[str] = None) -> None:
    """Downloads, checks and stores one asset, unless it exists already.

    Args:
        asset: the asset to fetch.
        root: the folder below which all assets are stored.
        url: address to use instead of the one in the table.

    Raises:
        NotReachable: if it cannot be downloaded now, or downloads are forbidden.
        NoSpace: if it does not fit on the disk; the received part is preserved.
        UserError: if the downloaded file is broken or not the expected one; it is removed.
    """
    target = output_folder(os.path.join(root, asset.folder))
    with one_at_a_time(os.path.dirname(target)):
        if _is_there(asset, target):
            note = " (--url not used: move the folder away to fetch it again)" if url else ""
            print("%s: already in %s%s" % (asset.name, asset.folder, note))
        else:
            _download_and_unpack(asset, target, url)
        if asset.kind == "model":
            _share_vocabulary(os.path.join(target, "vocab.txt"), root)


def _status_of_fetching(asset, root, url):
    """Fetches one asset and returns its exit status, so that a failure does not stop the others."""
    try:
        fetch(asset, root, url)
    except UserError as error:
        return _report(error)
    return 0


def _report(error):
    print("fetch_assets.py: error: %s" % printable(str(error)), file=sys.stderr)
    return EXIT_NOT_REACHABLE if isinstance(error, NotReachable) else EXIT_USER_ERROR


def find_file(folder: str, patterns: str) -> Optional[str]:
    """Returns the first file in `folder` that matches a pattern; `|` separates patterns."""
    for pattern in patterns.split("|"):
        matches = sorted(glob.glob(os.path.join(glob.escape(folder), pattern)))
        if matches:
            return matches[0]
    return None


def _download_and_unpack(asset, target, url):
    _check_target(asset, target)
    if os.environ.get("ALBERT_OFFLINE", "0") not in ("", "0"):
        raise NotReachable("%s: not downloaded, as ALBERT_OFFLINE is set" % asset.name)
    stage = os.path.join(os.path.dirname(target), ".%s.unpacking" % os.path.basename(target))
    urls = [url] if url else [_address(asset, name) for name in asset.files]
    partial_paths = [_partial_path(target, asset, index) for index in range(len(urls))]
    shutil.rmtree(stage, ignore_errors=True)
    try:
        for source, partial in zip(urls, partial_paths):
            download(source, partial, _start_check(asset, source))
        _fill(asset, stage, urls, partial_paths)
        os.replace(stage, target)
        _discard_all(partial_paths)
    except UserError as error:
        if not isinstance(error, (NotReachable, NoSpace)):  # the downloaded files are not usable
            _discard_all(partial_paths)
        raise
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    print("%s: in %s" % (asset.name, target))


def _discard_all(partial_paths):
    for partial in partial_paths:
        discard(partial)


def _partial_path(target, asset, index):
    name = "%s.%s.part" % (os.path.basename(target), asset.files[index])
    return os.path.join(os.path.dirname(target), name)


def _fill(asset, stage, urls, partial_paths):
    """Creates the folder `stage` from the downloaded files, checks it, prints size and sha256."""
    for index, (source, partial) in enumerate(zip(urls, partial_paths)):
        size, digest = os.path.getsize(partial), sha256_of_file(partial)
        if asset.kind == "pairs":
            _check_is_whole(partial, source)
            os.makedirs(stage, exist_ok=True)
            os.replace(partial, os.path.join(stage, asset.files[index]))
        else:
            unpack(partial, stage, source)
        print("%s: %s, sha256 %s" % (asset.files[index], megabytes(size), digest))
    for pattern in REQUIRED_FILES[asset.kind]:
        if find_file(stage, pattern) is None:
            raise UserError(
                "%s: unexpected content: it has no file %s (found: %s)"
                % (urls[0], pattern.replace("|", " or "), ", ".join(sorted(os.listdir(stage))[:8]))
            )
    if asset.kind == "model":
        _complete_model(stage, urls[0])


def _complete_model(folder, source):
    """Ensures that a model has a `vocab.txt`, and checks that its checkpoint fits its config."""
    vocabulary = os.path.join(folder, "vocab.txt")
    if not os.path.exists(vocabulary):
        shutil.copyfile(find_file(folder, "vocab*.txt"), vocabulary)
    config = find_file(folder, REQUIRED_FILES["model"][0])
    prefix = find_file(folder, "albert_model.ckpt.index|*.index")[: -len(".index")]
    try:
        from albert_zh.model.checkpoints import expected_variables
    except ImportError as error:
        print("the checkpoint is not compared with its config, as there is %s" % error)
        return
    try:
        expected_variables.check_fits(config, prefix)
    except UserError as error:
        problem = str(error).replace(folder + os.sep, "")
        raise UserError("%s: a broken archive: %s" % (source, problem)) from error


def _start_check(asset, source):
    if asset.kind == "pairs":
        return lambda head: _check_is_pairs(head, source)
    return lambda head: check_is_zip(head, source)


def _check_is_pairs(head, source):
    first_line = head.split(b"\n")[0]
    if first_line.count(b"\t") < 2:
        raise UserError(
            "%s: expected text_a, text_b and label separated by tabs, it begins with %r: perhaps "
            "an error page of a proxy, or a wrong address" % (source, head[:40])
        )


def _check_is_whole(path, source):
    """Raises if the last row of a file of pairs is truncated: some servers do not send its size."""
    last_line = read_bytes(path).rstrip(b"\r\n").split(b"\n")[-1]
    if re.search(rb"\t.*\t[^\t]", last_line) is None:
        raise UserError(
            "%s: truncated: its last line has no label: run the same command again" % source
        )


def _check_target(asset, target):
    """Raises if the target folder contains other files, which must not be mixed or lost."""
    if os.path.exists(target) and not (os.path.isdir(target) and not os.listdir(target)):
        lacking = [name for name in REQUIRED_FILES[asset.kind] if find_file(target, name) is None]
        raise UserError(
            "%s: exists but lacks %s: complete it, or move it away and run this again"
            % (target, " and ".join(name.replace("|", " or ") for name in lacking))
        )


def _is_there(asset, target):
    return all(find_file(target, pattern) for pattern in REQUIRED_FILES[asset.kind])


def _share_vocabulary(vocabulary, root):
    """Copies the released vocabulary to the path that old command lines use."""
    shared = os.path.join(root, SHARED_VOCABULARY)
    is_released = (
        os.path.exists(vocabulary) and sha256_of_file(vocabulary) == RELEASED_VOCABULARY_SHA256
    )
    if is_released and not os.path.exists(shared):
        with atomic_write(shared, "wb") as stream:
            stream.write(read_bytes(vocabulary))
        print("its vocabulary is also in %s" % SHARED_VOCABULARY)


def _address(asset, file_name):
    base = os.environ.get(asset.address) or ADDRESSES[asset.address]
    return "%s/%s" % (base.rstrip("/"), file_name)


def _check_list_is_alone(options):
    given = ["--url"] * bool(options.url) + options.names
    if given:
        raise UserError(
            "--list only lists the names and downloads nothing, but %s is given: leave one out"
            % validation.shown(given[0])
        )


def _chosen_assets(names, url):
    """Returns the assets that the command line names; raises `UserError` for an unknown name."""
    if url and len(names) > 1:
        raise UserError(
            "--url gives the address of one archive, but %d names were given" % len(names)
        )
    if url:
        checked_address(url)
    if url and not names:
        names = [os.path.splitext(os.path.basename(urllib.parse.urlparse(url).path))[0]]
    if not names:
        raise UserError("no name given (--list shows all names)")
    assets = [_asset_named(name, bool(url)) for name in names]
    if url and len(assets[0].files) > 1:
        raise UserError(
            "--url gives the address of one archive, but %s is %d files: name their folder with "
            "%s=http://..." % (assets[0].name, len(assets[0].files), assets[0].address)
        )
    return assets


def _asset_named(name, is_own_address):
    known = {asset.name: asset for asset in ASSETS}
    # The name of the folder is accepted, too: albert_tiny_zh.
    known.update({os.path.basename(asset.folder): asset for asset in ASSETS})
    if name in known:
        return known[name]
    if is_own_address and re.match(r"\w[\w.-]*$", name) and len(name) <= _LONGEST_NAME:
        return _model(name, "from an address of your own")
    close = difflib.get_close_matches(name, known, 1)
    hint = "did you mean %s? " % close[0] if close else ""
    raise UserError("%s: no such name: %s--list shows all names" % (validation.shown(name), hint))


def _print_list(root):
    for asset in ASSETS:
        mark = "there" if _is_there(asset, os.path.join(root, asset.folder)) else ""
        print("%-36s %-6s %-55s %s" % (asset.name, mark, asset.folder, asset.about))


class _Parser(argparse.ArgumentParser):
    def print_help(self, file=None):
        print(self.format_help(), end="", file=file)  # argparse would ignore a broken pipe

    def error(self, message):
        print("fetch_assets.py: error: %s (--help lists all)" % printable(message), file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)


def _parse(arguments):
    parser = _Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="name to fetch, see --list")
    parser.add_argument(
        "--list", action="store_true", help="list all names, and which are downloaded"
    )
    parser.add_argument("--url", help="download the (one) NAME from this address")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run_program(main)
