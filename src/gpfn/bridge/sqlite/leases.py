"""Which records of a topic a group has given to whom, and what is not done of them.

A group's subscription to a topic has a place, ``next``. To lease records is to claim what waits
there and to move on; to be done with one is to strike its claim. So what a group has not done
is its claims and all that comes from ``next`` on, and a record that is done costs no room. A
claim without an owner is free: its owner has ended, or it was passed over.

Records of one key are leased to one owner at a time. When a record's turn comes while another
owner has its lane, it is passed over: a free claim, which is looked at again first of all. So
a lane's records are claimed in their order by one owner, and the last entry of an index says
by whom. There is a bound to how many are passed over, behind which all wait.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gpfn.bridge.record import Record
from gpfn.bridge.sqlite.file import OFFSET_BITS, unpack_headers
from gpfn.bridge.unreadable import unreadable

__all__ = ["Data", "Leases", "Subscription", "read_row"]

_PASSED_OVER = 1024
"""Most free claims of a subscription, beyond which no new records are claimed."""

_HOLDER = """(SELECT max(held.owner) FROM claims AS held
    WHERE held.subscription = :subscription AND held.lane = {lane})"""
_FREE_TO_US = f"ifnull({_HOLDER.format(lane='claims.lane')}, :owner) = :owner"
_FREE = f"claims.subscription = :subscription AND claims.owner IS NULL AND {_FREE_TO_US}"
_DATA = "records.id, records.size, records.time, records.key, records.headers, records.value"
_FREE_RECORDS = f"""SELECT {_DATA} FROM claims
    JOIN records ON records.id = :base + claims.offset
    WHERE {_FREE} ORDER BY claims.offset LIMIT :most"""  # noqa: S608 - only constants
_TAKE_FREE = f"""UPDATE claims SET owner = :owner WHERE {_FREE} AND claims.offset <= :last
    RETURNING offset, attempts"""  # noqa: S608 - only constants
_NEW_RECORDS = f"""SELECT {_DATA} FROM records
    WHERE id >= :base + :next AND id < :end ORDER BY id LIMIT :most"""  # noqa: S608 - as above
_TAKE_NEW = f"""INSERT INTO claims (subscription, offset, lane, owner)
    SELECT :subscription, id - :base, lane, CASE
        WHEN ifnull({_HOLDER.format(lane="records.lane")}, :owner) = :owner THEN :owner END
    FROM records WHERE id >= :base + :next AND id <= :base + :last
    RETURNING offset, attempts, owner"""  # noqa: S608 - only constants

Data = tuple[int, int, int, bytes | None, bytes | None, bytes | None]
"""Id, size, time, key, packed headers, value."""


class Subscription(NamedTuple):
    """A group's subscription to a topic, by the numbers that rows have."""

    id: int
    topic: str
    topic_id: int

    @property
    def base(self) -> int:
        """The id that a record with the offset 0 has."""
        return self.topic_id << OFFSET_BITS


class Leases:
    """The subscriptions and claims of one queue. For one thread; may raise sqlite3.Error."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def subscribe(self, topic: str, topic_id: int, group: str) -> Subscription:
        """Return a group's subscription; a new one begins with the oldest record."""
        add = "INSERT INTO subscriptions (topic, name) VALUES (?, ?) ON CONFLICT DO NOTHING"
        self._database.execute(add, (topic_id, group))
        query = "SELECT id FROM subscriptions WHERE topic = ? AND name = ?"
        found: int = self._database.execute(query, (topic_id, group)).fetchone()[0]
        return Subscription(found, topic, topic_id)

    def take(self, of: Subscription, owner: int, most: int, most_bytes: int) -> list[Record]:
        """Lease records to an owner, at least one if there is any, in their order."""
        asked = {"subscription": of.id, "base": of.base, "owner": owner, "most": most}
        records, left = self._take_free(of, asked, most_bytes)
        if len(records) < most and left > 0:
            asked["most"] = most - len(records)
            records += self._take_new(of, asked, left)
        return records

    def _take_free(
        self, of: Subscription, asked: dict[str, int], most_bytes: int
    ) -> tuple[list[Record], int]:
        """Lease free claims; returns how many bytes are left, 0 while there are more of them.

        Nothing new may be leased then: it may be of the lane of one that is left.
        """
        rows, left = _up_to(self._database.execute(_FREE_RECORDS, asked), most_bytes)
        if not rows:
            return [], left
        last = rows[-1][0] - of.base
        taken = self._database.execute(_TAKE_FREE, {**asked, "last": last}).fetchall()
        return _records(of, rows, dict(taken)), left

    def _take_new(self, of: Subscription, asked: dict[str, int], most_bytes: int) -> list[Record]:
        query = "SELECT next, holes FROM subscriptions WHERE id = ?"
        place = self._database.execute(query, (of.id,)).fetchone()
        if place is None:
            return []  # somebody made the queue forget the group
        first, holes = place
        asked |= {"next": first, "end": of.base + (1 << OFFSET_BITS)}
        asked["most"] = min(asked["most"], self._room(of))
        rows, _ = _up_to(self._database.execute(_NEW_RECORDS, asked), most_bytes)
        if not rows:
            return []
        last = rows[-1][0] - of.base
        taken = self._database.execute(_TAKE_NEW, {**asked, "last": last}).fetchall()
        holes -= last + 1 - first - len(rows)
        update = "UPDATE subscriptions SET next = ?, holes = ? WHERE id = ?"
        self._database.execute(update, (last + 1, holes, of.id))
        return _records(of, rows, {offset: tries for offset, tries, owner in taken if owner})

    def _room(self, of: Subscription) -> int:
        query = "SELECT count(*) FROM claims WHERE subscription = ? AND owner IS NULL"
        free: int = self._database.execute(query, (of.id,)).fetchone()[0]
        return max(0, _PASSED_OVER - free)

    def has_more(self, of: Subscription, owner: int) -> bool:
        """Say whether :meth:`take` would find or pass over anything. Needs no transaction."""
        asked = {"subscription": of.id, "base": of.base, "owner": owner, "most": 1}
        if self._database.execute(_FREE_RECORDS, asked).fetchone():
            return True
        query = """SELECT 1 FROM subscriptions JOIN topics ON topics.id = subscriptions.topic
            WHERE subscriptions.id = ? AND subscriptions.next < topics.next"""
        return bool(self._database.execute(query, (of.id,)).fetchone()) and self._room(of) > 0

    def finish(self, of: Subscription, owner: int, offsets: Iterable[int]) -> None:
        """Strike claims of an owner; what it has no claim to stays as it is."""
        strike = "DELETE FROM claims WHERE subscription = ? AND offset = ? AND owner = ?"
        self._database.executemany(strike, [(of.id, offset, owner) for offset in offsets])

    def note(self, of: Subscription, owner: int, attempts: Mapping[int, int]) -> None:
        """Keep how often records were tried: a count by offset."""
        update = """UPDATE claims SET attempts = ?
            WHERE subscription = ? AND offset = ? AND owner = ?"""
        rows = [(count, of.id, offset, owner) for offset, count in attempts.items()]
        self._database.executemany(update, rows)

    def forget(self, topic_id: int, offset: int) -> None:
        """A record was deleted: it is in nobody's way any more."""
        update = "UPDATE subscriptions SET holes = holes + 1 WHERE topic = ? AND next <= ?"
        self._database.execute(update, (topic_id, offset))
        strike = """DELETE FROM claims WHERE offset = ? AND subscription IN
            (SELECT id FROM subscriptions WHERE topic = ?)"""
        self._database.execute(strike, (offset, topic_id))

    def lag(self, of: Subscription) -> int:
        """Return how many records the group has not done."""
        query = """SELECT topics.next - subscriptions.next - holes
            + (SELECT count(*) FROM claims WHERE subscription = subscriptions.id)
            FROM subscriptions JOIN topics ON topics.id = subscriptions.topic
            WHERE subscriptions.id = ?"""
        found = self._database.execute(query, (of.id,)).fetchone()
        return 0 if found is None else int(found[0])


def _up_to(rows: Iterable[Data], most_bytes: int) -> tuple[list[Data], int]:
    """Return the first rows and the bytes that are left, 0 when a row did not fit.

    The first row fits, however large it is.
    """
    found: list[Data] = []
    left = most_bytes
    for row in rows:
        if found and row[1] > left:
            return found, 0
        found.append(row)
        left = max(left - row[1], 0)
    return found, left


def _records(of: Subscription, rows: Sequence[Data], attempts: Mapping[int, int]) -> list[Record]:
    """Return the records whose offsets have attempts: the others were passed over."""
    base = of.base
    found = [(row, attempts.get(row[0] - base)) for row in rows]
    return [read_row(of.topic, base, row, tries) for row, tries in found if tries is not None]


def read_row(topic: str, base: int, row: Data, attempts: int) -> Record:
    """Return the record that a row has; one with damaged headers says so."""
    identity, _, when, key, headers, value = row
    record = Record(topic, 0, identity - base, key, value, (), when, attempts)
    try:
        return record._replace(headers=unpack_headers(headers)) if headers else record
    except ValueError as error:
        return unreadable(record, str(error))
