"""Distributes the records of a run among the hosts that read them, before parsing.

    for share in shares_of_host(num_lanes=8, num_hosts=4, host=1):  # lanes 2 and 3
        ranges = ranges_of_lane(counts, share.lane, num_lanes=8)

The records of a run are split into lanes, each with its own order, and every step uses equally many
records of each lane. The number of lanes is the number of hosts with which the run began, and never
changes: the records in a step do not depend on how many hosts read them later.
"""

import collections
from typing import List, Optional, Sequence, Tuple

from albert_zh.common.errors import UserError

# The part of a lane that a host reads: part number `part` of the `num_parts` parts of each batch.
LaneShare = collections.namedtuple("LaneShare", "lane part num_parts")
# Records of a file by position: `count` records (-1 for all) from `first` on; of these, every
# `stride`-th one, beginning with number `offset`.
Range = collections.namedtuple("Range", "file first count stride offset")


def shares_of_host(num_lanes: int, num_hosts: int, host: int) -> List[LaneShare]:
    """Returns the lanes, or parts of lanes, that a host reads: contiguous rows of each step.

    Args:
        num_lanes: number of lanes of the run.
        num_hosts: number of hosts that read records.
        host: index of this host.

    Raises:
        UserError: if the lanes cannot be divided equally among the hosts.
    """
    check_hosts(num_lanes, num_hosts)
    if num_lanes >= num_hosts:
        each = num_lanes // num_hosts
        return [LaneShare(host * each + number, 0, 1) for number in range(each)]
    num_parts = num_hosts // num_lanes
    return [LaneShare(host // num_parts, host % num_parts, num_parts)]


def check_hosts(num_lanes: int, num_hosts: int) -> None:
    """Raises `UserError` if the lanes of a run cannot be divided equally among the hosts."""
    if num_lanes % num_hosts and num_hosts % num_lanes:
        raise UserError(
            "the run began on %d hosts and cannot be continued exactly on %d: use the same "
            "number, or a divisor or multiple of it, or name another --output_dir"
            % (num_lanes, num_hosts)
        )


def ranges_of_lane(
    counts: Optional[Sequence[int]], num_files: int, lane: int, num_lanes: int
) -> Tuple[List[Range], Optional[int]]:
    """Returns the records of a lane: whole files, and parts of the files at its ends.

    Args:
        counts: number of records in each file, or None if not known.
        num_files: number of files.
        lane: index of the lane.
        num_lanes: number of lanes of the run.

    Returns:
        (ranges, number of records or None). Every record belongs to exactly one lane and range.
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
