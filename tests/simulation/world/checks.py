"""What must hold at rest, whatever went wrong before: the ledger, the gateway's book, Redis, and what clients saw."""

from collections import Counter, defaultdict

LIVE = ("SOLD", "USED")


def at_rest(world):
    """Whether nothing is on its way any more; else a word of what is."""
    tables = world.postgres.tables
    for session, money in world.bank.sessions.items():
        if money["captured"] and ("fake", session) not in tables["captures"]:
            return "money that the ledger has not heard of"
    if any(row["outcome"] is None for row in tables["captures"].values()):
        return "captures"
    if any(row["status"] in ("QUEUED", "PROCESSING") for row in tables["refunds"].values()):
        return "refunds"
    if any(row["restock_due"] is not None for row in tables["tickets"].values()):
        return "restocks"
    if any(row["done_at"] is None for row in tables["cancellations"].values()):
        return "cancellations"
    if any(row["automatic"] for row in tables["rebuilds"].values()):
        return "rebuilds"
    for stream in world.redis.streams.values():
        if stream.pending or (stream.entries and max(stream.entries) > (stream.delivered or (0, 0))):
            return "facts"
    return None


def open_money(world):
    """Give the sessions whose money has no outcome."""
    return {
        session
        for session, money in world.bank.sessions.items()
        if money["captured"] and not world.has_outcome(session)
    }


def check(world, shown):
    """Give every broken promise as a line."""
    broken = list(shown.broken)
    broken += [f"crash: {crash.strip()}" for crash in world.crashes]
    broken += [
        f"I2: the event of {session} was processed before its outcome was durable" for session in world.bank.hasty
    ]
    broken += _one_ticket_a_seat(world)
    broken += _shown_is_written(world, shown)
    broken += _money(world)
    broken += _facts(world)
    broken += _redis(world)
    broken += _cancelled(world)
    broken += _cases(world)
    return broken


def _one_ticket_a_seat(world):
    live = Counter(
        (row["showtime_id"], row["seat_index"])
        for row in world.postgres.tables["tickets"].values()
        if row["status"] in LIVE
    )
    return [f"I1: seat {place} has {count} live tickets" for place, count in live.items() if count > 1]


def _shown_is_written(world, shown):
    """I2: every confirmation that was shown is in the ledger, with seats, price and buyer, or went back whole."""
    tickets = defaultdict(set)
    for row in world.postgres.tables["tickets"].values():
        tickets[str(row["booking_id"]), row["subject"]].add((row["seat_index"], row["price_minor"]))
    return [
        f"I2: {booking} was shown CONFIRMED to {subject} with {set(seats)}, the ledger has {tickets[booking, subject]}"
        for booking, (subject, seats) in shown.confirmed.items()
        if not seats <= tickets[booking, subject]
    ]


def _money(world):
    """I3: what the gateway took is live tickets and refunds, to the unit; what it paid back was owed, once."""
    tables, broken = world.postgres.tables, []
    worth, owed, settled = Counter(), Counter(), Counter()
    for row in tables["tickets"].values():
        worth[row["session_id"]] += row["price_minor"] if row["status"] in LIVE else 0
    for row in tables["refunds"].values():
        owed[row["session_id"]] += row["amount_minor"]
        settled[row["session_id"]] += row["amount_minor"] if row["status"] == "SETTLED" else 0
        if row["status"] not in ("SETTLED", "MANUAL"):
            broken.append(f"I3: refund {row['business_id']} is still {row['status']}")
    for session, money in world.bank.sessions.items():
        captured, paid_back = money["captured"], world.bank.paid_back(session)
        if captured != worth[session] + owed[session]:
            broken.append(f"I3: {session} took {captured}, tickets {worth[session]}, refunds {owed[session]}")
        if paid_back != settled[session]:
            broken.append(f"I3: {session} paid back {paid_back}, the ledger says {settled[session]}")
        outcome = tables["captures"].get(("fake", session), {}).get("outcome") if captured else "none"
        if outcome is None:
            broken.append(f"I3: money of {session} has no outcome")
    strange = set(worth) | set(owed)
    broken += [f"I3: {session} is not the gateway's" for session in strange - set(world.bank.sessions)]
    return broken


def _facts(world):
    """I8: the ledger's seq runs 1..n without gap or repeat; what is stamped with the present life equals Redis'."""
    tables, broken = world.postgres.tables, []
    seqs = defaultdict(list)
    for showtime, generation, seq in tables["facts"]:
        seqs[showtime, generation].append(seq)
    for place, found in seqs.items():
        if sorted(found) != list(range(1, len(found) + 1)) or tables["fact_heads"][place]["seq"] != len(found):
            broken.append(f"I8: facts of {place} are {sorted(found)}, head {tables['fact_heads'][place]['seq']}")
    for showtime, model in world.redis.models.items():
        if model.loaded is not None and model.loaded.generation == _generation(world):
            head = tables["fact_heads"].get((showtime, model.loaded.generation), {"seq": 0})["seq"]
            if model.loaded.seq != head:
                broken.append(f"I8: Redis counts {model.loaded.seq} facts of {showtime}, the ledger {head}")
    return broken


def _generation(world):
    """Give the generation that API processes believe in; all have seen the present life by now."""
    return max(api.lane.generation for api in world.apis)


def _redis(world):
    """I9, I12, I14: what Redis has as sold is what the ledger has, sale by sale, and nothing is held twice."""
    broken = []
    for showtime, model in world.redis.models.items():
        loaded = model.loaded
        if loaded is None or loaded.generation != _generation(world) or loaded.status == "rebuilding":
            continue
        live = {
            row["seat_index"]: row["sale_number"]
            for row in world.postgres.tables["tickets"].values()
            if row["showtime_id"] == showtime and row["status"] in LIVE
        }
        if loaded.sold != live:
            broken.append(f"I12: Redis has sold {loaded.sold} of {showtime}, the ledger {live}")
        held = Counter(seat for hold in loaded.holds.values() for seat in hold.seats)
        both = {seat for seat in held if held[seat] > 1 or seat in loaded.sold}
        if both:
            broken.append(f"I9: seats {both} of {showtime} have two owners in Redis")
        bought = Counter()
        for row in world.postgres.tables["tickets"].values():
            if row["showtime_id"] == showtime and row["status"] in LIVE:
                bought[row["subject"]] += 1
        counted = sum(customer.bought for customer in loaded.customers.values())
        if counted != sum(bought.values()):
            broken.append(f"I13: Redis counts {counted} bought seats of {showtime}, the ledger {sum(bought.values())}")
    return broken


def _cancelled(world):
    tables, broken = world.postgres.tables, []
    for showtime, row in tables["showtimes"].items():
        if row["status"] != "CANCELLED":
            continue
        if any(t["showtime_id"] == showtime and t["status"] in LIVE for t in tables["tickets"].values()):
            broken.append(f"I12: {showtime} is cancelled and has live tickets")
        loaded = world.redis.model(showtime).loaded
        if loaded is not None and loaded.generation == _generation(world) and loaded.status != "cancelled":
            broken.append(f"I12: {showtime} is cancelled, and Redis has it as {loaded.status}")
    return broken


EXPECTED_CASES = {"unknown_session", "refund_gateway"}
AFTER_LOST_MEMORY = {"facts_missing", "fact_conflict"}


def _cases(world):
    """A case that no fault of the story explains is a broken promise: double sales and poison facts most of all."""
    expected = EXPECTED_CASES
    return [
        f"case: {row['kind']} {row['business_id']} {row['details']}"
        for row in world.postgres.tables["cases"].values()
        if row["kind"] not in expected
    ]
