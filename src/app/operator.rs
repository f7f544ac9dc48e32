//! What an operator may do at the operations door.

use crate::admin::{Action, ActionError};
use crate::catalog::Catalog;
use crate::m3;
use crate::mock_m3::{Faults, Mock};
use crate::model::ProgramName;
use crate::policies::Active;
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn actions(catalog: &Catalog, m3: &m3::Client, mock: Option<&Mock>, policies: &Arc<Active>) -> Vec<Action> {
    let mut actions = vec![clear(catalog.clone(), m3.clone()), programs(catalog.clone()), pull(catalog.clone())];
    if let Some(shadow) = policies.shadow().cloned() {
        actions.push(Action::new(Method::GET, "/policy/shadow", move |_| {
            let report = shadow.report();
            async move { Ok(report) }
        }));
    }
    if let Some(mock) = mock {
        let (told, set) = (mock.clone(), mock.clone());
        actions.push(Action::new(Method::GET, "/mock/faults", move |_| {
            let mock = told.clone();
            async move { shown(&mock) }
        }));
        actions.push(Action::new(Method::POST, "/mock/faults", move |body| {
            let mock = set.clone();
            async move {
                let faults: Faults = serde_json::from_value(body)
                    .map_err(|error| ActionError::Refused(format!("these are no faults: {error}")))?;
                mock.set_faults(faults);
                shown(&mock)
            }
        }));
    }
    actions
}

fn programs(catalog: Catalog) -> Action {
    Action::new(Method::POST, "/catalog/programs", move |_| {
        let catalog = catalog.clone();
        async move {
            let programs = catalog.programs().await.map_err(|error| ActionError::Unable(error.to_string()))?;
            Ok(json!({ "programs": programs.iter().map(|facts| facts.name.as_str()).collect::<Vec<_>>() }))
        }
    })
}

/// `{"program": "CRS610MI"}`: all that M3 has of it is learnt, and kept once it has answered.
fn pull(catalog: Catalog) -> Action {
    Action::new(Method::POST, "/catalog/pull", move |body: Value| {
        let catalog = catalog.clone();
        async move {
            let named = body["program"].as_str().map(ProgramName::parse).and_then(Result::ok);
            let refused = || ActionError::Refused("program must be the name of an MI program".into());
            let program = named.ok_or_else(refused)?;
            let pulled = catalog.pull(program).await.map_err(|error| ActionError::Unable(error.to_string()))?;
            catalog
                .save()
                .await
                .map_err(|error| ActionError::Unable(format!("the catalog can't be saved: {error}")))?;
            Ok(pulled.shown(program))
        }
    })
}

fn shown(mock: &Mock) -> Result<Value, ActionError> {
    serde_json::to_value(mock.faults()).map_err(|error| ActionError::Failed(error.to_string()))
}

/// `{}` clears everything, `{"program": "CRS610MI"}` one program; sessions go with their layouts.
fn clear(catalog: Catalog, m3: m3::Client) -> Action {
    Action::new(Method::POST, "/catalog/clear", move |body: Value| {
        let (catalog, m3) = (catalog.clone(), m3.clone());
        async move {
            // A name that was misspelt must not clear everything.
            if body.as_object().is_some_and(|members| members.keys().any(|name| name != "program")) {
                return Err(ActionError::Refused("program is all that may be said here".into()));
            }
            let program = match body.get("program") {
                None => None,
                Some(name) => {
                    let parsed = name.as_str().map(ProgramName::parse);
                    let refused = || ActionError::Refused("program must be the name of an MI program".into());
                    Some(parsed.and_then(Result::ok).ok_or_else(refused)?)
                }
            };
            catalog.forget(program).await;
            m3.forget(program);
            Ok(json!({ "cleared": program.map_or_else(|| "everything".to_owned(), |name| name.to_string()) }))
        }
    })
}
