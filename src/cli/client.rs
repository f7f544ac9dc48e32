//! `client`: who may ask the embedded issuer for tokens.

use super::args;
use super::client_auth::{authentication, shown};
use super::failure::Failure;
use super::keys::time;
use super::show;
use super::state::{issuer_failed, public_url, settings, store};
use crate::clock::unix_seconds;
use crate::config::Settings;
use crate::issuer::{self, Client, Clients, Credentials, IonApi, NewClient, write_private};
use crate::model::{Company, Division, Language, M3User, Standing, TenantId};
use serde_json::json;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

pub(super) async fn client(config: Option<&Path>, words: args::Client) -> Result<ExitCode, Failure> {
    let settings = settings(config)?;
    let Some(own) = settings.tokens.clone() else {
        return Err(Failure::begin("tokens.enabled is false: this gateway has no clients of its own"));
    };
    let store = store(&settings).await?;
    let clients = Clients::open(&store, own.hash_cost).await.map_err(issuer_failed)?;
    match words {
        args::Client::Add(add) => added(&clients.by(&add.by.name()), *add, &settings).await?,
        args::Client::List { json } => listed(&clients, json).await?,
        args::Client::Revoke { client, by } => {
            let client = clients.by(&by.name()).revoke(&client, unix_seconds()).await.map_err(issuer_failed)?;
            show::line(&client.id);
            show::note(&format!("{} is revoked; its tokens end within a second.", client.name));
        }
        args::Client::Rotate { client, out, shows, by } => match (shown(&shows)?, out) {
            (Some(other), None) => {
                let client =
                    clients.by(&by.name()).rekey(&client, other, unix_seconds()).await.map_err(issuer_failed)?;
                show::line(&client.id);
                show::note("What it proved itself by before is worth nothing any more; live tokens stay good.");
            }
            (None, Some(out)) => {
                writable(&out)?;
                let clients = clients.by(&by.name());
                let (client, credentials) = clients.rotate(&client, unix_seconds()).await.map_err(issuer_failed)?;
                write(&client, Some(&credentials), &out, &settings)?;
                show::note("The old secrets are worth nothing any more; live tokens stay good.");
            }
            _ => return Err(Failure::begin("give --out for new secrets, or what else the client proves itself by")),
        },
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn added(clients: &Clients, add: args::ClientAdd, settings: &Settings) -> Result<(), Failure> {
    let new = new(&add)?;
    // Before anybody is registered whose secrets could then not be written down.
    writable(&add.out)?;
    let (client, credentials) = clients.add(new, unix_seconds()).await.map_err(issuer_failed)?;
    write(&client, credentials.as_ref(), &add.out, settings)?;
    let mapped =
        client.standing.user.is_some() || client.groups.iter().any(|group| settings.group_users.contains_key(&**group));
    if !mapped {
        show::note("No M3 user is mapped to this client or its groups: M3 calls will be refused (see m3.group_users).");
    }
    Ok(())
}

fn new(add: &args::ClientAdd) -> Result<NewClient, Failure> {
    let wrong = |word: &str, fault: &dyn std::fmt::Display| Failure::begin(format!("--{word}: {fault}"));
    Ok(NewClient {
        name: add.name.clone(),
        tenant: TenantId::parse(&add.tenant).map_err(|fault| wrong("tenant", &fault))?,
        scopes: add.scope.clone(),
        groups: add.group.clone(),
        standing: Standing {
            user: one("m3-user", add.m3_user.as_deref(), M3User::parse)?,
            company: one("company", add.company.as_deref(), Company::parse)?,
            division: one("division", add.division.as_deref(), Division::parse)?,
            language: one("language", add.language.as_deref(), Language::parse)?,
            companies: many("may-company", &add.may_company, Company::parse)?,
            divisions: many("may-division", &add.may_division, Standing::read_division)?,
            run_as: many("run-as", &add.run_as, M3User::parse)?,
            rid_is_key: add.rid_is_key,
        },
        dpop: add.dpop,
        authentication: authentication(&add.auth, &add.shows)?,
        bound: add.bound,
    })
}

fn one<T, E: Display>(word: &str, text: Option<&str>, parse: fn(&str) -> Result<T, E>) -> Result<Option<T>, Failure> {
    text.map(parse).transpose().map_err(|fault| Failure::begin(format!("--{word}: {fault}")))
}

fn many<T, E: Display>(word: &str, texts: &[String], parse: fn(&str) -> Result<T, E>) -> Result<Vec<T>, Failure> {
    let parsed: Result<_, E> = texts.iter().map(|text| parse(text)).collect();
    parsed.map_err(|fault| Failure::begin(format!("--{word}: {fault}")))
}

fn writable(out: &Path) -> Result<(), Failure> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() {
        return Ok(());
    }
    Err(Failure::begin(format!("--out: the folder {} is not there; make it first", folder.display())))
}

fn write(client: &Client, credentials: Option<&Credentials>, out: &Path, settings: &Settings) -> Result<(), Failure> {
    let url = public_url(settings);
    let text = IonApi { public_url: &url, environment: client.tenant.as_str() }.text(client, credentials);
    match write_private(out, &text) {
        Ok(()) => {
            show::line(&client.id);
            let (name, out) = (&client.name, out.display());
            show::note(&match credentials {
                Some(_) => format!("{name}'s credentials are in {out}; they are shown nowhere else."),
                None => format!("{out} says where {name} gets its tokens; it holds no secret."),
            });
            Ok(())
        }
        Err(error @ issuer::Error::File { .. }) => Err(Failure::on_the_way(format!(
            "{error}; {} is registered all the same: give it new secrets with `mi-gateway client rotate {} --out FILE`",
            client.name, client.name
        ))),
        Err(error) => Err(issuer_failed(error)),
    }
}

async fn listed(clients: &Clients, as_json: bool) -> Result<(), Failure> {
    let clients = clients.list().await.map_err(issuer_failed)?;
    if clients.is_empty() {
        show::note("No clients yet. Add one with `mi-gateway client add NAME --group GROUP --out FILE`.");
    }
    for client in &clients {
        let state = match client.revoked_at {
            Some(at) => format!("revoked {}", time(at)),
            None => "live".to_owned(),
        };
        if as_json {
            let shown = json!({
                "id": &*client.id,
                "name": client.name,
                "tenant": client.tenant.as_str(),
                "scopes": client.scopes.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "groups": client.groups.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "m3_user": client.standing.user.as_ref().map(M3User::as_str),
                "company": client.standing.company.map(Company::number),
                "division": client.standing.division.map(|division| division.to_string()),
                "language": client.standing.language.as_ref().map(Language::as_str),
                "may_company": client.standing.companies.iter().map(|one| one.number()).collect::<Vec<_>>(),
                "may_division": client.standing.told_divisions(),
                "run_as": client.standing.run_as.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "rid_is_key": client.standing.rid_is_key,
                "dpop": client.dpop,
                "auth": client.authentication.method(),
                "bound": client.bound,
                "created": time(client.created_at),
                "rotated": client.rotated_at.map(time),
                "revoked": client.revoked_at.map(time),
            });
            show::line(&shown.to_string());
        } else {
            let groups = client.groups.join(",");
            show::line(&format!(
                "{:<20} {:<10} {state:<8} groups {groups:<20} {}",
                client.name,
                client.tenant.as_str(),
                client.id
            ));
        }
    }
    Ok(())
}
