//! The two clients of a first start against the mock: one that may write, one that only reads.

use crate::issuer::{self, Authentication, Clients, IonApi, NewClient, write_private};
use crate::mock_m3;
use crate::model::{BadId, Company, Division, M3User, Standing, TenantId};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub const DEMO: &str = "demo";
pub const READER: &str = "reader";
const TENANT: &str = "DEMO_TST";
/// `ev` in their files.
pub(super) const ENVIRONMENT: &str = "DEMO_TST";

/// Registers them where nobody is registered yet, and writes their files under `{state}/clients/`.
pub(super) async fn clients(
    clients: &Clients,
    state: &Path,
    public_url: &str,
    now: u64,
) -> Result<bool, issuer::Error> {
    if !clients.list().await?.is_empty() {
        return Ok(false);
    }
    let folder = folder(state)?;
    let ionapi = IonApi { public_url, environment: ENVIRONMENT };
    for (name, group, user) in [(DEMO, "demo", mock_m3::DEMO_USER), (READER, "readers", mock_m3::READER_USER)] {
        // The words are constants of this file and of the mock.
        let Ok(new) = client(name, group, user) else { continue };
        let (client, credentials) = clients.add(new, now).await?;
        write_private(&folder.join(format!("{name}.ionapi")), &ionapi.text(&client, credentials.as_ref()))?;
    }
    Ok(true)
}

/// Where files of clients are written, for the owner's eyes alone.
pub(super) fn folder(state: &Path) -> Result<PathBuf, issuer::Error> {
    let folder = state.join("clients");
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|source| issuer::Error::File { path: folder.clone(), source })?;
    Ok(folder)
}

fn client(name: &str, group: &str, user: &str) -> Result<NewClient, BadId> {
    Ok(NewClient {
        name: name.to_owned(),
        tenant: TenantId::parse(TENANT)?,
        scopes: Vec::new(),
        groups: vec![group.to_owned()],
        standing: Standing {
            user: Some(M3User::parse(user)?),
            company: Some(Company::new(100)?),
            division: Some(Division::parse("AAA")?),
            ..Standing::default()
        },
        dpop: false,
        authentication: Authentication::Secret,
        bound: false,
    })
}
