//! The clients in the store. Used by the running issuer and, in a process of its own, by the command line.
//!
//! Invariant: names are unique among live clients; a revoked client is kept, for the log, and never comes back.

use super::authentication::Authentication;
use super::client::{Client, Credentials, NewClient};
use super::error::Error;
use super::schema;
use super::secrets::{HashCost, Hashed, hash, random};
use crate::model::{Company, Division, Language, M3User, Standing, TenantId};
use crate::orders;
use crate::store::{Error as StoreError, Store};
use secrecy::SecretString;
use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Clients {
    store: Store,
    cost: HashCost,
    /// Who changes them, for the audit log; `None` is this gateway itself.
    by: Option<Arc<str>>,
}

impl Clients {
    pub async fn open(store: &Store, cost: HashCost) -> Result<Self, Error> {
        schema::prepare(store).await?;
        Ok(Self { store: store.clone(), cost, by: None })
    }

    /// What is changed from here on is an operator's order, and stands in the audit log as his.
    pub fn by(self, who: &str) -> Self {
        Self { by: Some(who.into()), ..self }
    }

    /// The credentials are shown this once; a client that proves itself by a key or a certificate has none.
    pub async fn add(&self, new: NewClient, now: u64) -> Result<(Client, Option<Credentials>), Error> {
        new.check()?;
        let id: Arc<str> = format!("{}~{}", new.tenant, random::<32>()?).into();
        let saak = format!("{}#{}", new.tenant, random::<32>()?);
        let (credentials, secret_hash, sask_hash) = match new.authentication {
            Authentication::Secret => {
                let (credentials, secret_hash, sask_hash) = self.secrets(saak.clone()).await?;
                (Some(credentials), secret_hash, sask_hash)
            }
            _ => (None, Hashed("".into()), Hashed("".into())),
        };
        let client = Client {
            id,
            name: new.name,
            tenant: new.tenant,
            saak,
            scopes: new.scopes.into_iter().map(Into::into).collect(),
            groups: new.groups.into_iter().map(Into::into).collect(),
            standing: Arc::new(new.standing),
            dpop: new.dpop,
            generation: 1,
            created_at: now,
            rotated_at: None,
            revoked_at: None,
            authentication: new.authentication,
            bound: new.bound,
            secret_hash,
            sask_hash,
        };
        let mut write = self.store.write().await?;
        let taken = sqlx::query("SELECT 1 FROM clients WHERE name = ? AND revoked_at IS NULL").bind(&client.name);
        if taken.fetch_optional(&mut *write).await?.is_some() {
            return Err(Error::NameTaken(client.name));
        }
        insert(&client).execute(&mut *write).await?;
        self.order(&mut write, "client-added", &client, now).await?;
        write.commit().await?;
        Ok((client, credentials))
    }

    /// Revoked ones too, in the order in which they were made.
    pub async fn list(&self) -> Result<Vec<Client>, Error> {
        let rows = sqlx::query("SELECT * FROM clients ORDER BY rowid").fetch_all(self.store.read()).await?;
        rows.iter().map(client).collect()
    }

    /// A live client by its name or id.
    pub async fn find(&self, name: &str) -> Result<Client, Error> {
        let found = self.list().await?.into_iter().find(|one| !one.revoked() && (one.name == name || &*one.id == name));
        found.ok_or_else(|| Error::NoSuchClient(name.to_owned()))
    }

    /// Ends the client and every token it holds.
    pub async fn revoke(&self, name: &str, now: u64) -> Result<Client, Error> {
        let client = self.find(name).await?;
        let mut write = self.store.write().await?;
        sqlx::query(
            "UPDATE clients SET revoked_at = ?, generation = generation + 1 WHERE id = ? AND revoked_at IS NULL",
        )
        .bind(now.cast_signed())
        .bind(&*client.id)
        .execute(&mut *write)
        .await?;
        self.order(&mut write, "client-revoked", &client, now).await?;
        write.commit().await?;
        Ok(Client { revoked_at: Some(now), generation: client.generation + 1, ..client })
    }

    /// New secrets; the old ones end at once, live tokens stay good.
    pub async fn rotate(&self, name: &str, now: u64) -> Result<(Client, Credentials), Error> {
        let client = self.find(name).await?;
        if client.authentication != Authentication::Secret {
            return Err(Error::NoSecret(client.name));
        }
        let (credentials, secret_hash, sask_hash) = self.secrets(client.saak.clone()).await?;
        let mut write = self.store.write().await?;
        let done = sqlx::query(
            "UPDATE clients SET secret_hash = ?, sask_hash = ?, rotated_at = ? WHERE id = ? AND revoked_at IS NULL",
        )
        .bind(&*secret_hash.0)
        .bind(&*sask_hash.0)
        .bind(now.cast_signed())
        .bind(&*client.id)
        .execute(&mut *write)
        .await?;
        if done.rows_affected() == 0 {
            return Err(Error::NoSuchClient(name.to_owned()));
        }
        self.order(&mut write, "client-rotated", &client, now).await?;
        write.commit().await?;
        Ok((Client { secret_hash, sask_hash, rotated_at: Some(now), ..client }, credentials))
    }

    /// Another key or certificate; the old one ends at once, live tokens stay good.
    pub async fn rekey(&self, name: &str, to: Authentication, now: u64) -> Result<Client, Error> {
        to.check()?;
        let client = self.find(name).await?;
        if client.authentication.method() != to.method() {
            return Err(Error::OtherMethod { name: client.name, method: client.authentication.method() });
        }
        let (kind, with) = to.written();
        let mut write = self.store.write().await?;
        sqlx::query("UPDATE clients SET auth = ?, auth_with = ?, rotated_at = ? WHERE id = ? AND revoked_at IS NULL")
            .bind(kind)
            .bind(with)
            .bind(now.cast_signed())
            .bind(client.id.to_string())
            .execute(&mut *write)
            .await?;
        self.order(&mut write, "client-rotated", &client, now).await?;
        write.commit().await?;
        Ok(Client { authentication: to, rotated_at: Some(now), ..client })
    }

    /// What a client may do is told with it; what it proves itself by is not.
    async fn order(
        &self,
        write: &mut Transaction<'static, Sqlite>,
        kind: &str,
        client: &Client,
        now: u64,
    ) -> Result<(), Error> {
        let Some(by) = &self.by else { return Ok(()) };
        let members = json!({
            "client": &*client.id, "name": client.name, "tenant": client.tenant.as_str(),
            "groups": &client.groups, "scopes": &client.scopes,
            "m3_user": client.standing.user.as_ref().map(M3User::as_str),
            "run_as": client.standing.run_as.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "may_company": client.standing.companies.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "may_division": client.standing.told_divisions(),
            "auth": client.authentication.method(), "by": &**by,
        });
        Ok(orders::keep_with(write, kind, &members.as_object().cloned().unwrap_or_default(), now).await?)
    }

    async fn secrets(&self, saak: String) -> Result<(Credentials, Hashed, Hashed), Error> {
        let (client_secret, sask) = (random::<32>()?, random::<32>()?);
        let hashes = (hash(&client_secret, self.cost).await?, hash(&sask, self.cost).await?);
        let (client_secret, sask) = (SecretString::from(client_secret), SecretString::from(sask));
        Ok((Credentials { client_secret, saak, sask }, hashes.0, hashes.1))
    }
}

fn insert(client: &Client) -> sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments> {
    sqlx::query(
        "INSERT INTO clients (id, name, tenant, secret_hash, saak, sask_hash, scopes, client_groups, m3_user, company,
         division, language, companies, divisions, run_as, dpop, generation, created_at, auth, auth_with, bound,
         rid_is_key)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(client.id.to_string())
    .bind(client.name.clone())
    .bind(client.tenant.to_string())
    .bind(client.secret_hash.0.to_string())
    .bind(client.saak.clone())
    .bind(client.sask_hash.0.to_string())
    .bind(client.scopes.join(" "))
    .bind(client.groups.join(" "))
    .bind(client.standing.user.as_ref().map(ToString::to_string))
    .bind(client.standing.company.map(|company| i64::from(company.number())))
    .bind(client.standing.division.map(|division| division.to_string()))
    .bind(client.standing.language.as_ref().map(ToString::to_string))
    .bind(listed(&client.standing.companies))
    .bind(listed(&client.standing.divisions))
    .bind(listed(&client.standing.run_as))
    .bind(client.dpop)
    .bind(client.generation.cast_signed())
    .bind(client.created_at.cast_signed())
    .bind(client.authentication.written().0)
    .bind(client.authentication.written().1)
    .bind(client.bound)
    .bind(client.standing.rid_is_key)
}

/// With commas between, for the blank division is a word too; nothing is the empty list.
fn listed(words: &[impl ToString]) -> String {
    words.iter().map(|word| format!("{},", word.to_string())).collect()
}

fn unlisted<T, E>(text: &str, parse: impl Fn(&str) -> Result<T, E>) -> Result<Vec<T>, StoreError> {
    let words = text.split_terminator(',').map(|word| parse(word).map_err(|_| StoreError::Damaged { what: "client" }));
    words.collect()
}

fn standing(row: &SqliteRow) -> Result<Standing, Error> {
    let damaged = || StoreError::Damaged { what: "client" };
    let word = |column: &str| row.try_get::<Option<String>, _>(column);
    let (user, division, language) = (word("m3_user")?, word("division")?, word("language")?);
    let company = row.try_get::<Option<i64>, _>("company")?;
    let company = company.map(|number| u16::try_from(number).map_err(|_| damaged())).transpose()?;
    Ok(Standing {
        user: user.map(|user| M3User::parse(&user).map_err(|_| damaged())).transpose()?,
        company: company.map(|number| Company::new(number).map_err(|_| damaged())).transpose()?,
        division: division.map(|text| Division::parse(&text).map_err(|_| damaged())).transpose()?,
        language: language.map(|text| Language::parse(&text).map_err(|_| damaged())).transpose()?,
        companies: unlisted(row.try_get("companies")?, Company::parse)?,
        divisions: unlisted(row.try_get("divisions")?, Division::parse)?,
        run_as: unlisted(row.try_get("run_as")?, M3User::parse)?,
        rid_is_key: row.try_get("rid_is_key")?,
    })
}

fn client(row: &SqliteRow) -> Result<Client, Error> {
    let damaged = || StoreError::Damaged { what: "client" };
    let text = |column: &str| row.try_get::<String, _>(column);
    let number = |column: &str| row.try_get::<Option<i64>, _>(column).map(|number| number.map(i64::cast_unsigned));
    let words = |text: String| text.split(' ').filter(|word| !word.is_empty()).map(Into::into).collect();
    Ok(Client {
        id: text("id")?.into(),
        name: text("name")?,
        tenant: TenantId::parse(&text("tenant")?).map_err(|_| damaged())?,
        saak: text("saak")?,
        scopes: words(text("scopes")?),
        groups: words(text("client_groups")?),
        standing: Arc::new(standing(row)?),
        dpop: row.try_get("dpop")?,
        generation: number("generation")?.ok_or_else(damaged)?,
        created_at: number("created_at")?.ok_or_else(damaged)?,
        rotated_at: number("rotated_at")?,
        revoked_at: number("revoked_at")?,
        authentication: {
            let (kind, with) = (text("auth")?, row.try_get::<Option<String>, _>("auth_with")?);
            Authentication::read(&kind, with.as_deref()).ok_or_else(damaged)?
        },
        bound: row.try_get("bound")?,
        secret_hash: Hashed(text("secret_hash")?.into()),
        sask_hash: Hashed(text("sask_hash")?.into()),
    })
}
