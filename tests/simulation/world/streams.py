"""A partition's stream of facts with its consumer group, as Redis keeps them."""


class Stream:
    """Entries in order, and how far the group is.

    Attributes:
        entries: id -> fields; ids are (ms, number).
        last: the newest id ever given.
        delivered: the newest id that the group has read; None: there is no group.
        pending: ids that were read and not acknowledged, in order.
    """

    def __init__(self):
        self.entries = {}
        self.last = (0, 0)
        self.delivered = None
        self.pending = {}

    def append(self, now_ms, fields):
        """Append an entry; give its id."""
        self.last = max((now_ms, 0), (self.last[0], self.last[1] + 1))
        self.entries[self.last] = fields
        return name_of(self.last)

    def make_group(self):
        """Make the group from the beginning; whether it was missing."""
        if self.delivered is not None:
            return False
        self.delivered = (0, 0)
        return True

    def read_new(self, count):
        """Give what nobody has read; it is pending from now on."""
        fresh = [(place, fields) for place, fields in self.entries.items() if place > self.delivered][:count]
        for place, _ in fresh:
            self.pending[place] = True
            self.delivered = place
        return [(name_of(place), fields) for place, fields in fresh]

    def read_pending(self, after, count):
        """Give what was read and is not acknowledged; without fields if it was trimmed."""
        found = [place for place in sorted(self.pending) if place > id_of(after)][:count]
        return [(name_of(place), self.entries.get(place) or {}) for place in found]

    def acknowledge(self, names):
        """Take ids off the pending ones."""
        return sum(self.pending.pop(id_of(name), False) for name in names)

    def trim(self, keep):
        """Drop entries before an id."""
        gone = [place for place in self.entries if place < id_of(keep)]
        for place in gone:
            del self.entries[place]
        return len(gone)

    def range(self, first, last, count):
        """Give entries between two ids, both included."""
        found = [(place, fields) for place, fields in self.entries.items() if id_of(first) <= place <= id_of(last)]
        return [(name_of(place), fields) for place, fields in found[:count]]

    def copy(self):
        """Give a stream of its own with the same content."""
        other = Stream()
        other.entries, other.pending = dict(self.entries), dict(self.pending)
        other.last, other.delivered = self.last, self.delivered
        return other


def name_of(place):
    """Give an id as Redis writes it."""
    return b"%d-%d" % place


def id_of(name):
    """Read an id."""
    text = name.encode() if isinstance(name, str) else name
    ms, _, number = text.partition(b"-")
    return int(ms), int(number or 0)
