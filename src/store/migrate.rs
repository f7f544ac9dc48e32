//! Migrations by owner: each room's statements, in order, each applied once and never changed afterwards.

use super::error::Error;
use super::open::Store;

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS migrations (
    owner TEXT NOT NULL, number INTEGER NOT NULL, checksum INTEGER NOT NULL, PRIMARY KEY (owner, number)
) STRICT";

impl Store {
    /// Applies what this owner's tables still lack. All of it or nothing; two processes may ask at once.
    pub async fn migrate(&self, owner: &'static str, steps: &[&'static str]) -> Result<(), Error> {
        let mut write = self.write().await?;
        sqlx::raw_sql(LEDGER).execute(&mut *write).await?;
        let applied: Vec<(i64,)> = sqlx::query_as("SELECT checksum FROM migrations WHERE owner = ? ORDER BY number")
            .bind(owner)
            .fetch_all(&mut *write)
            .await?;
        if applied.len() > steps.len() {
            let (found, known) = (applied.len(), steps.len());
            return Err(Error::Newer { path: self.path().to_owned(), owner, found, known });
        }
        for (at, step) in steps.iter().enumerate() {
            match applied.get(at) {
                Some((sum,)) if *sum == checksum(step) => {}
                Some(_) => return Err(Error::Changed { path: self.path().to_owned(), owner, number: at + 1 }),
                None => {
                    sqlx::raw_sql(*step).execute(&mut *write).await?;
                    sqlx::query("INSERT INTO migrations (owner, number, checksum) VALUES (?, ?, ?)")
                        .bind(owner)
                        .bind(at as i64 + 1)
                        .bind(checksum(step))
                        .execute(&mut *write)
                        .await?;
                }
            }
        }
        Ok(write.commit().await?)
    }
}

/// FNV-1a: against mistakes, not against enemies, and the same in every version of Rust.
fn checksum(step: &str) -> i64 {
    let sum =
        step.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, b| (sum ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    sum.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "CREATE TABLE a (x INTEGER)";
    const TWO: &str = "CREATE TABLE b (x INTEGER); CREATE TABLE c (x INTEGER)";

    #[tokio::test]
    async fn steps_are_applied_once_and_new_ones_are_added() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("opens");
        store.migrate("me", &[ONE]).await.expect("first");
        store.migrate("me", &[ONE, TWO]).await.expect("second");
        store.migrate("me", &[ONE, TWO]).await.expect("nothing to do");
        store.migrate("you", &[]).await.expect("another owner");
        sqlx::query("INSERT INTO c VALUES (1)").execute(store.read()).await.expect("the table is there");
    }

    #[tokio::test]
    async fn a_changed_or_missing_step_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("opens");
        store.migrate("me", &[ONE, TWO]).await.expect("applies");
        assert!(matches!(store.migrate("me", &[ONE, ONE]).await, Err(Error::Changed { number: 2, .. })));
        assert!(matches!(store.migrate("me", &[ONE]).await, Err(Error::Newer { found: 2, known: 1, .. })));
    }

    #[tokio::test]
    async fn a_step_that_fails_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("opens");
        store.migrate("me", &[ONE, "CREATE NONSENSE"]).await.expect_err("no SQL");
        store.migrate("me", &[ONE]).await.expect("the first step is applied now");
    }
}
