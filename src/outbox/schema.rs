//! The tables, step by step. A step that was shipped is never changed.

pub(super) const STEPS: &[&str] = &["
    CREATE TABLE intents (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL,
        issuer TEXT NOT NULL, client TEXT NOT NULL, idem_key TEXT, ordinal INTEGER NOT NULL, fingerprint TEXT,
        m3_user TEXT NOT NULL, program TEXT NOT NULL, transaction_name TEXT NOT NULL,
        company INTEGER NOT NULL, division TEXT NOT NULL,
        fields TEXT NOT NULL, whole INTEGER NOT NULL, told TEXT NOT NULL,
        opened INTEGER NOT NULL, state TEXT NOT NULL, outcome TEXT, settled INTEGER,
        tries INTEGER NOT NULL DEFAULT 0, next_try INTEGER NOT NULL DEFAULT 0, reason TEXT
    ) STRICT;
    CREATE INDEX intents_by_name ON intents (name);
    CREATE UNIQUE INDEX intents_by_key ON intents (issuer, client, idem_key, ordinal) WHERE idem_key IS NOT NULL;
    CREATE INDEX intents_unsettled ON intents (state, next_try) WHERE state IN ('open', 'unknown', 'parked');
    CREATE INDEX intents_keyed_by_age ON intents (opened) WHERE idem_key IS NOT NULL;
    CREATE INDEX intents_by_age ON intents (settled) WHERE settled IS NOT NULL;

    CREATE TABLE documents (
        id INTEGER PRIMARY KEY, noun TEXT NOT NULL, verb TEXT NOT NULL, company INTEGER NOT NULL, record TEXT NOT NULL,
        division TEXT NOT NULL, deletes INTEGER NOT NULL, cause TEXT NOT NULL, marks INTEGER NOT NULL DEFAULT 1,
        since INTEGER, last INTEGER, variation INTEGER NOT NULL DEFAULT 0,
        tries INTEGER NOT NULL DEFAULT 0, next_try INTEGER NOT NULL DEFAULT 0, parked INTEGER NOT NULL DEFAULT 0,
        reason TEXT, known_division TEXT, known_location TEXT,
        UNIQUE (noun, verb, company, record)
    ) STRICT;
    CREATE INDEX documents_due ON documents (since) WHERE since IS NOT NULL;

    CREATE TABLE messages (
        id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents (id),
        bod_id TEXT NOT NULL, noun TEXT NOT NULL, verb TEXT NOT NULL, action TEXT NOT NULL, variation INTEGER NOT NULL,
        tenant TEXT NOT NULL, lid TEXT NOT NULL, company TEXT NOT NULL, division TEXT NOT NULL, entity TEXT NOT NULL,
        location TEXT NOT NULL, document_id TEXT NOT NULL, created TEXT NOT NULL, cause TEXT NOT NULL,
        made INTEGER NOT NULL, xml TEXT NOT NULL, UNIQUE (document, variation)
    ) STRICT;
    CREATE INDEX messages_by_bod ON messages (bod_id);
    CREATE INDEX messages_by_age ON messages (made);

    CREATE TABLE deliveries (
        message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE, point TEXT NOT NULL,
        document INTEGER NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
        next_try INTEGER NOT NULL DEFAULT 0, changed INTEGER NOT NULL, reference TEXT, reason TEXT,
        PRIMARY KEY (message, point)
    ) STRICT;
    CREATE INDEX deliveries_pending ON deliveries (point, document, message) WHERE state = 'pending';
    CREATE INDEX deliveries_in_order ON deliveries (point, message) WHERE state = 'pending';
    CREATE INDEX deliveries_next ON deliveries (point, next_try) WHERE state = 'pending';
    CREATE INDEX deliveries_parked ON deliveries (point, message) WHERE state IN ('parked', 'failed');

    CREATE TABLE attempts (
        id INTEGER PRIMARY KEY, message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
        point TEXT NOT NULL, at INTEGER NOT NULL, took_ms INTEGER NOT NULL, arrived INTEGER NOT NULL, words TEXT NOT NULL
    ) STRICT;
    CREATE INDEX attempts_of ON attempts (message, point);
",
    // What receivers say of what they were sent, and the history of each delivery.
    "
    ALTER TABLE deliveries ADD COLUMN sent INTEGER;
    ALTER TABLE deliveries ADD COLUMN answer_by INTEGER;
    UPDATE deliveries SET sent = changed WHERE tries > 0;
    ALTER TABLE attempts ADD COLUMN state TEXT;
    CREATE TABLE changes (
        id INTEGER PRIMARY KEY, message INTEGER NOT NULL REFERENCES messages (id) ON DELETE CASCADE,
        point TEXT NOT NULL, at INTEGER NOT NULL, state TEXT NOT NULL, words TEXT NOT NULL
    ) STRICT;
    CREATE INDEX changes_of ON changes (message, point);
    CREATE TABLE inbound (
        issuer TEXT NOT NULL, client TEXT NOT NULL, message TEXT NOT NULL, digest TEXT NOT NULL, document TEXT NOT NULL,
        outcome TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (issuer, client, message)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX inbound_by_age ON inbound (at);

    DROP INDEX deliveries_pending;
    DROP INDEX deliveries_in_order;
    DROP INDEX deliveries_next;
    CREATE INDEX deliveries_waiting ON deliveries (point, document, message)
        WHERE state IN ('pending', 'replayed', 'sent');
    CREATE INDEX deliveries_in_order ON deliveries (point, message) WHERE state IN ('pending', 'replayed', 'sent');
    CREATE INDEX deliveries_next ON deliveries (point, next_try) WHERE state IN ('pending', 'replayed', 'sent');
    CREATE INDEX deliveries_unanswered ON deliveries (answer_by) WHERE state = 'delivered' AND answer_by IS NOT NULL;
    CREATE INDEX deliveries_expired ON deliveries (point) WHERE state = 'expired';
",
    // Orders of operators; and what is asked all the time is found without reading a table.
    "
    DROP INDEX deliveries_parked;
    CREATE INDEX deliveries_stuck ON deliveries (changed) WHERE state IN ('parked', 'failed');
    CREATE INDEX documents_parked ON documents (id) WHERE parked = 1;
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY, at INTEGER NOT NULL, word TEXT NOT NULL, about TEXT NOT NULL, who TEXT NOT NULL,
        reason TEXT NOT NULL, noted INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX orders_to_note ON orders (id) WHERE noted = 0;
",
    // What was deleted, as it was; and the points that a record was told to and that still have it.
    "
    ALTER TABLE documents ADD COLUMN before TEXT;
    ALTER TABLE documents ADD COLUMN told_at TEXT NOT NULL DEFAULT '[]';
",
    // Batch entries: what was entered under each, and what is watched since it was handed over.
    "
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY, noun TEXT NOT NULL, company INTEGER NOT NULL, batch TEXT NOT NULL, record TEXT NOT NULL,
        at INTEGER NOT NULL, UNIQUE (noun, company, batch, record)
    ) STRICT;
    CREATE INDEX entries_by_age ON entries (at);
    CREATE TABLE watches (
        id INTEGER PRIMARY KEY, noun TEXT NOT NULL, company INTEGER NOT NULL, division TEXT NOT NULL, call TEXT NOT NULL,
        batch TEXT NOT NULL, record TEXT NOT NULL, asked TEXT NOT NULL, cause TEXT NOT NULL, since INTEGER NOT NULL,
        state TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, next_try INTEGER NOT NULL, reason TEXT,
        UNIQUE (noun, company, batch, record)
    ) STRICT;
    CREATE INDEX watches_due ON watches (next_try) WHERE state <> 'expired';
",
    // Parts that were entered for a record that was there before; and what names the key of what has no number yet.
    "
    DROP INDEX entries_by_age;
    ALTER TABLE entries RENAME TO entries_before;
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY, noun TEXT NOT NULL, company INTEGER NOT NULL, batch TEXT NOT NULL, record TEXT NOT NULL,
        part TEXT NOT NULL DEFAULT '', at INTEGER NOT NULL, UNIQUE (noun, company, batch, record, part)
    ) STRICT;
    INSERT INTO entries (id, noun, company, batch, record, at)
        SELECT id, noun, company, batch, record, at FROM entries_before;
    DROP TABLE entries_before;
    CREATE INDEX entries_by_age ON entries (at);
    ALTER TABLE watches ADD COLUMN parts TEXT NOT NULL DEFAULT '[]';
    ALTER TABLE watches ADD COLUMN names TEXT NOT NULL DEFAULT '[]';
",
    // How often M3 had changed a record when it was last read.
    "
    ALTER TABLE documents ADD COLUMN seen_changes TEXT;
    ALTER TABLE documents ADD COLUMN seen_at INTEGER;
",
    // Under which seals the content may be; no name is content as it is.
    "
    CREATE TABLE seals (name TEXT PRIMARY KEY) STRICT;
    INSERT INTO seals (name) VALUES ('');
",
    // A record of a whole company may have a document for each of its divisions: each is a row of its own, behind the one
    // of the record, which alone is ever due.
    "
    ALTER TABLE documents ADD COLUMN edition_of INTEGER REFERENCES documents (id);
    CREATE INDEX documents_editions ON documents (edition_of) WHERE edition_of IS NOT NULL;
",
    // One order for all documents of a record, and all writes that a message tells of.
    "
    ALTER TABLE deliveries ADD COLUMN record INTEGER NOT NULL DEFAULT 0;
    UPDATE deliveries SET record = (SELECT min(r.id) FROM documents d JOIN documents r ON r.noun = d.noun
        AND r.verb IN ('Process', 'Sync', d.verb) AND r.company = d.company AND r.record = d.record
        WHERE d.id = deliveries.document);
    CREATE INDEX deliveries_of_record ON deliveries (point, record, message)
        WHERE state IN ('pending', 'replayed', 'sent');
    ALTER TABLE messages ADD COLUMN marks INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE told (
        intent INTEGER NOT NULL REFERENCES intents (id) ON DELETE CASCADE, document INTEGER NOT NULL,
        marks INTEGER NOT NULL, PRIMARY KEY (intent, document)
    ) STRICT, WITHOUT ROWID;
",
    // How old a batch is without touching all of it, and when it was handed over, for what becomes known later.
    "
    CREATE INDEX entries_of_batch ON entries (noun, company, batch, at);
    CREATE TABLE handed (
        id INTEGER PRIMARY KEY, noun TEXT NOT NULL, company INTEGER NOT NULL, batch TEXT NOT NULL, call TEXT NOT NULL,
        division TEXT NOT NULL, cause TEXT NOT NULL, at INTEGER NOT NULL, UNIQUE (noun, company, batch)
    ) STRICT;
    CREATE INDEX handed_by_age ON handed (at);
",
    // Keys that clients did not give as such hold for a shorter time.
    "
    CREATE INDEX intents_called_by_rid ON intents (opened) WHERE idem_key < ' ';
",
    // What M3's own publisher sends, and what came of comparing it with messages that were made in shadow.
    "
    ALTER TABLE messages ADD COLUMN shadow INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX messages_in_shadow ON messages (document_id, noun, verb, entity, id) WHERE shadow = 1;
    CREATE TABLE theirs (
        id INTEGER PRIMARY KEY, noun TEXT NOT NULL, verb TEXT NOT NULL, entity TEXT NOT NULL, document_id TEXT NOT NULL,
        bod_id TEXT NOT NULL, lid TEXT NOT NULL, at INTEGER NOT NULL, bytes INTEGER NOT NULL,
        compared INTEGER NOT NULL DEFAULT 0, result TEXT NOT NULL DEFAULT '', xml TEXT NOT NULL
    ) STRICT;
    CREATE INDEX theirs_by_bod ON theirs (bod_id);
    CREATE TABLE comparisons (
        id INTEGER PRIMARY KEY REFERENCES messages (id) ON DELETE CASCADE, at INTEGER NOT NULL, result TEXT NOT NULL,
        bod_id TEXT NOT NULL, lid TEXT NOT NULL, many INTEGER NOT NULL, found TEXT NOT NULL
    ) STRICT;
",
    // The bulk call that a write is of, and those that a document waits for.
    "
    ALTER TABLE intents ADD COLUMN bulk TEXT;
    ALTER TABLE documents ADD COLUMN bulks TEXT;
",
    // Kinds of documents that are left alone at a point are not looked through for others.
    "
    ALTER TABLE deliveries ADD COLUMN kind TEXT NOT NULL DEFAULT '';
    UPDATE deliveries SET kind = coalesce((SELECT verb || '.' || noun FROM messages WHERE id = deliveries.message), '');
    CREATE INDEX deliveries_of_kind ON deliveries (point, kind, message) WHERE state IN ('pending', 'replayed', 'sent');
",
    // Records of a kind that is left alone are not looked through for others; what a write caused is found by its name.
    "
    CREATE INDEX documents_due_of ON documents (company || '/' || noun, since) WHERE since IS NOT NULL AND parked = 0;
    CREATE INDEX messages_by_cause ON messages (cause);
",
    // Nor are those that are parked, for as long as nobody decides.
    "
    DROP INDEX documents_due;
    CREATE INDEX documents_due ON documents (since) WHERE since IS NOT NULL AND parked = 0;
",
    // An id of what was handed over is never used again: it is what operators and polls that are under way speak of.
    "
    DROP INDEX watches_due;
    ALTER TABLE watches RENAME TO watches_before;
    CREATE TABLE watches (
        id INTEGER PRIMARY KEY AUTOINCREMENT, noun TEXT NOT NULL, company INTEGER NOT NULL, division TEXT NOT NULL,
        call TEXT NOT NULL, batch TEXT NOT NULL, record TEXT NOT NULL, asked TEXT NOT NULL, cause TEXT NOT NULL,
        since INTEGER NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, next_try INTEGER NOT NULL,
        reason TEXT, parts TEXT NOT NULL DEFAULT '[]', names TEXT NOT NULL DEFAULT '[]',
        UNIQUE (noun, company, batch, record)
    ) STRICT;
    INSERT INTO watches (id, noun, company, division, call, batch, record, asked, cause, since, state, tries, next_try,
            reason, parts, names)
        SELECT id, noun, company, division, call, batch, record, asked, cause, since, state, tries, next_try, reason,
            parts, names FROM watches_before;
    DROP TABLE watches_before;
    CREATE INDEX watches_due ON watches (next_try) WHERE state <> 'expired';
"];
