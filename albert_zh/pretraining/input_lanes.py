"""How the hosts that feed a run share its records, before any of them is parsed.

    for share in shares_of_host(num_lanes=8, num_hosts=4, host=1):  # lanes 2 and 3
        ranges = ranges_of_lane(counts, share.lane, num_lanes=8)

A run's records are parted into lanes, each with its own order, and every step has as many
records of each lane. Their number is that of the hosts with which the run began and stays: which
records are in a step does not depend on how many hosts read them later.
"""

import collections
from typing import List, Optional, Sequence, Tuple

from albert_zh.common.errors import UserError

# What a host reads of a lane: its number, and which of `num_parts` parts of each of its batches.
LaneShare = collections.namedtuple("LaneShare", "lane part num_parts")
# Records of a file, by their places: `count` from `first` on, -1 for all; of those, one of
# `stride`, beginning with `offset`.
Range = collections.namedtuple("Range", "file first count stride offset")


def shares_of_host(num_lanes: int, num_hosts: int, host: int) -> List[LaneShare]:
    """What one of several hosts reads: contiguous rows of each step.

    Args:
        num_lanes: lanes of the run.
        num_hosts: hosts that feed it.
        host: number of this one.

    Raises:
        UserError: where the hosts cannot share the lanes alike.
    """
    check_hosts(num_lanes, num_hosts)
    if num_lanes >= num_hosts:
        each = num_lanes // num_hosts
        return [LaneShare(host * each + number, 0, 1) for number in range(each)]
    num_parts = num_hosts // num_lanes
    return [LaneShare(host // num_parts, host % num_parts, num_parts)]


def check_hosts(num_lanes: int, num_hosts: int) -> None:
    """Raises `UserError` where hosts cannot share a run's lanes alike."""
    if num_lanes % num_hosts and num_hosts % num_lanes:
        raise UserError(
            "the run began on %d hosts and cannot go on exactly on %d: give it as many as then, "
            "or a divisor or multiple of that, or name another --output_dir"
            % (num_lanes, num_hosts)
        )


def ranges_of_lane(
    counts: Optional[Sequence[int]], num_files: int, lane: int, num_lanes: int
) -> Tuple[List[Range], Optional[int]]:
    """Which records a lane has: those of files, and of the files at its ends a part.

    Args:
        counts: records of each file, or None where they are not known.
        num_files: number of files.
        lane: number of the lane.
        num_lanes: lanes of the run.

    Returns:
        (ranges, number of records or None). Over all lanes every record is in one range.
    """
    if num_lanes == 1:
        ranges = [Range(number, 0, -1, 1, 0) for number in range(num_files)]
        return ranges, None if counts is None else sum(counts)
    if counts is None:
        if num_files >= num_lanes:
            return [Range(file, 0, -1, 1, 0) for file in range(lane, num_files, num_lanes)], None
        return [Range(file, 0, -1, num_lanes, lane) for file in range(num_files)], None
    total = sum(counts)
    begin, end = (total * place // num_lanes for place in (lane, lane + 1))
    ranges, before = [], 0
    for number, count in enumerate(counts):
        first, last = max(begin, before), min(end, before + count)
        if first < last:
            ranges.append(Range(number, first - before, last - first, 1, 0))
        before += count
    return ranges, end - begin
