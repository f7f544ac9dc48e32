//! An outbox that holds many messages already: put there in a few statements, as no gateway would.

use mi_gateway::store::Store;
use std::path::Path;

/// So many messages of a few kilobytes, for this point, of every document so many.
pub(crate) struct Held<'a> {
    pub(crate) point: &'a str,
    pub(crate) messages: i64,
    pub(crate) of_each: i64,
    pub(crate) bytes: i64,
}

/// Of a gateway that may be running.
pub(crate) async fn hold(outbox: &Path, held: &Held<'_>) {
    let store = Store::open(outbox).await.expect("the outbox");
    let documents = held.messages / held.of_each;
    let mut write = store.write().await.expect("a transaction");
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO documents (id, noun, verb, company, record, division, deletes, cause)
         SELECT i, 'ItemMaster', 'Sync', 100, '[\"B' || i || '\"]', 'AAA', 0, 'bench' FROM n",
    )
    .bind(documents)
    .execute(&mut *write)
    .await
    .expect("documents");
    sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1)
         INSERT INTO messages (document, bod_id, noun, verb, action, variation, tenant, lid, company, division, entity,
            location, document_id, created, cause, made, xml)
         SELECT 1 + i % ?2, 'bench-' || i, 'ItemMaster', 'Sync', 'Replace', i, '', 'lid://mi-gateway.m3', '100', 'AAA', '100',
            '', 'B' || (1 + i % ?2), '2026-03-01T12:00:00.000Z', 'bench', ?4,
            '<SyncItemMaster>' || hex(zeroblob(?3 / 2)) || '</SyncItemMaster>' FROM n",
    )
    .bind(held.messages)
    .bind(documents)
    .bind(held.bytes)
    .bind(jiff::Timestamp::now().as_millisecond())
    .execute(&mut *write)
    .await
    .expect("messages");
    sqlx::query(
        "INSERT INTO deliveries (message, point, document, record, state, changed, kind)
         SELECT id, ?1, document, document, 'pending', made, verb || '.' || noun FROM messages",
    )
    .bind(held.point.to_owned())
    .execute(&mut *write)
    .await
    .expect("deliveries");
    write.commit().await.expect("on the disk");
    store.close().await;
}
