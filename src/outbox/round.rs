//! What the writer says to the store, all of a round in one.

/// Of the time and rows of `[id, state, outcome, reason]`. Until the first question `next_try` is when it became unknown;
/// what is parked waits for somebody who has to know what it was.
macro_rules! settle {
    () => {
        "UPDATE intents SET state = j.value->>1, outcome = j.value->>2,
            next_try = CASE j.value->>1 WHEN 'unknown' THEN j.at ELSE 0 END,
            settled = CASE WHEN j.value->>1 IN ('unknown', 'parked') THEN NULL ELSE j.at END,
            fields = CASE WHEN j.value->>1 IN ('unknown', 'parked') THEN fields ELSE '[]' END,
            told = CASE WHEN j.value->>1 IN ('unknown', 'parked') THEN told ELSE '[]' END,
            reason = coalesce(j.value->>3, reason)
         FROM (SELECT value, ? AS at FROM json_each(?)) AS j
         WHERE intents.id = j.value->>0 AND intents.state IN ('open', 'unknown', 'parked')"
    };
}

/// Of the time and rows of `Due::mark`, and of those rows again: a document's next reading tells of all that marked it
/// until then, and each of them is found by it. One that a delete made due stays so, whichever of two writes was settled first: a
/// record that is there is told as it is all the same. What was seen before a delete stands in its intent; what was not
/// there to be deleted is told to nobody, unless it was told of before. With it stand the bulk calls that marked it, the last
/// of them: while one of those runs it is left alone.
macro_rules! mark {
    () => {
        "INSERT INTO documents (noun, verb, company, record, division, deletes, before, cause, since, last, bulks)
         SELECT noun, verb, company, record, division, deletes, before, name, at, at, bulks FROM
            (SELECT j.value->>1 AS noun, j.value->>2 AS verb, i.company AS company,
                CASE j.value->>5 WHEN 1 THEN json_insert(j.value->>3, '$[#]', i.division) ELSE j.value->>3 END AS record,
                i.division AS division, j.value->>4 AS deletes, j.value->>6 AS absent, i.name AS name, j.at AS at,
                CASE WHEN i.bulk IS NOT NULL THEN json_array(i.bulk) END AS bulks,
                CASE j.value->>4 WHEN 1 THEN (SELECT t.value->>'before' FROM json_each(i.told) t
                    WHERE t.value->>'noun' = j.value->>1 AND t.value->>'verb' = j.value->>2) END AS before
             FROM (SELECT value, ? AS at FROM json_each(?)) AS j JOIN intents i ON i.id = j.value->>0) m
         WHERE m.absent = 0 OR EXISTS (SELECT 1 FROM documents d WHERE (d.noun, d.verb, d.company, d.record) =
            (m.noun, m.verb, m.company, m.record) AND (d.variation > 0 OR d.since IS NOT NULL))
         ON CONFLICT (noun, verb, company, record) DO UPDATE SET marks = marks + 1, division = excluded.division,
            deletes = CASE WHEN since IS NULL THEN excluded.deletes ELSE max(deletes, excluded.deletes) END,
            before = coalesce(excluded.before, CASE WHEN since IS NULL THEN NULL ELSE before END),
            cause = excluded.cause, since = coalesce(since, excluded.since), last = excluded.last,
            tries = 0, next_try = 0, parked = 0, reason = NULL,
            bulks = CASE WHEN since IS NULL OR bulks IS NULL THEN excluded.bulks
                WHEN excluded.bulks IS NULL OR instr(bulks, excluded.bulks->>0) > 0 THEN bulks
                WHEN json_array_length(bulks) < 64 THEN json_insert(bulks, '$[#]', excluded.bulks->>0)
                ELSE json_insert(json_remove(bulks, '$[0]'), '$[#]', excluded.bulks->>0) END;
         INSERT INTO told (intent, document, marks)
         SELECT i.id, d.id, d.marks FROM json_each(?) AS j JOIN intents i ON i.id = j.value->>0
            JOIN documents d ON d.noun = j.value->>1 AND d.verb = j.value->>2 AND d.company = i.company AND d.record =
                CASE j.value->>5 WHEN 1 THEN json_insert(j.value->>3, '$[#]', i.division) ELSE j.value->>3 END
         WHERE true ON CONFLICT (intent, document) DO UPDATE SET marks = excluded.marks"
    };
}

/// Of ids. Before others are opened: their keys are free again.
macro_rules! withdraw {
    () => {
        "DELETE FROM intents WHERE id IN (SELECT value FROM json_each(?))"
    };
}

/// Of the time and rows of `Line::values`.
macro_rules! open {
    () => {
        "INSERT INTO intents (id, name, issuer, client, idem_key, ordinal, fingerprint, m3_user, program,
            transaction_name, company, division, fields, whole, told, opened, state, bulk)
         SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8,
            value->>9, value->>10, value->>11, value->>12, value->>13, value->>14, at, 'open', value->>15
         FROM (SELECT value, ? AS at FROM json_each(?)) WHERE true ON CONFLICT DO NOTHING"
    };
}

/// All that a round writes of intents without keys and of documents without entries.
macro_rules! round {
    () => {
        concat!(mark!(), ";", settle!(), ";", withdraw!(), ";", open!())
    };
}

pub(super) const SETTLE: &str = settle!();
pub(super) const MARK: &str = mark!();
pub(super) const ROUND: &str = round!();
/// What most rounds are: each order to the store is a way to its thread and back, and everybody waits.
pub(super) const AT_ONCE: &str = concat!("BEGIN IMMEDIATE;", round!(), ";COMMIT");
