//! What is at the end of the stack: each route to its room.

use super::body::{Request, Response};
use super::dialects::execute::execute;
use super::dialects::shelf::Shelf;
use super::dialects::{bulk, surface};
use super::exchange::Exchange;
use super::facts::Facts;
use super::inbound::Inbound;
use super::openapi::OpenApi;
use super::problem::{Kind, Problem};
use super::reader::Reader;
use super::route::Route;
use super::sites::Sites;
use super::stack::blocking;
use super::token::{TokenDoor, document};
use super::visit::Visit;
use super::{Parts, Settings};
use futures_util::future::BoxFuture;
use std::convert::Infallible;
use std::sync::Arc;

#[derive(Clone)]
pub(super) struct Routes(Arc<Rooms>);

struct Rooms {
    exchange: Arc<Exchange>,
    bulk: bulk::Settings,
    tokens: TokenDoor,
    openapi: OpenApi,
    shelf: Shelf,
    inbound: Arc<Inbound>,
}

impl Routes {
    pub(super) fn new(parts: &Parts, settings: &Settings) -> Self {
        let guard = parts.guard_user.clone();
        let reader = Reader::new(parts.catalog.clone(), parts.m3.clone());
        let sites = Sites::new(reader.clone(), guard.clone());
        let exchange = Exchange {
            catalog: parts.catalog.clone(),
            policies: parts.policies.clone(),
            limits: parts.limits.clone(),
            m3: parts.m3.clone(),
            tasks: parts.tasks.clone(),
            metrics: parts.metrics.clone(),
            settings: settings.exchange,
            group_users: parts.group_users.clone(),
            seal: parts.seal.clone(),
            audit: parts.audit.clone(),
            outbox: parts.outbox.clone(),
            blocking: blocking(parts),
            facts: Facts::new(reader, sites.clone(), guard, parts.metrics.clone()),
            sites,
        };
        let tokens = TokenDoor::new(parts.issuer.clone(), parts.verifier.resource().clone(), settings);
        let openapi = OpenApi::new(parts.verifier.resource().url(), parts.issuer.is_some());
        let inbound = Arc::new(Inbound::new(parts, &settings.inbound));
        let (exchange, shelf) = (Arc::new(exchange), Shelf::new());
        Self(Arc::new(Rooms { exchange, bulk: settings.bulk, tokens, openapi, shelf, inbound }))
    }
}

pub(super) fn routes(
    routes: Routes,
) -> impl Fn(Request) -> BoxFuture<'static, Result<Response, Infallible>> + Clone + Send + Sync {
    move |request| {
        let rooms = routes.0.clone();
        Box::pin(async move { Ok(rooms.answer(request).await) })
    }
}

impl Rooms {
    async fn answer(&self, request: Request) -> Response {
        let visit = Visit::of(request.extensions());
        match &visit.route {
            Route::Execute { version, tail, .. } => execute(&self.exchange, *version, *tail, request, &visit).await,
            Route::Bulk { matrix, .. } => {
                let matrix = request.uri().path()[*matrix..].to_owned();
                bulk::bulk(&self.exchange, self.bulk, &matrix, request, &visit).await
            }
            Route::Csrf { .. } => surface::csrf(&request, &visit),
            Route::Metadata { program, .. } => {
                let name = program.map(|at| request.uri().path()[at..].to_owned());
                surface::metadata(&self.exchange, &self.shelf, name.as_deref(), request, &visit).await
            }
            Route::Described { program, .. } => {
                let name = request.uri().path()[*program..].to_owned();
                surface::described(&self.exchange, &self.shelf, &self.openapi, &name, request, &visit).await
            }
            Route::Contract => document(&request, &visit, || self.openapi.contract()),
            Route::Session => surface::session(&request, &visit),
            Route::Token { tenant } => self.tokens.token(tenant.as_ref(), request, &visit).await,
            Route::Revoke { tenant } => self.tokens.revoke(tenant.as_ref(), request, &visit).await,
            Route::Keys => self.tokens.keys(&request, &visit),
            Route::ServerMetadata => self.tokens.metadata(&request, &visit),
            Route::Resource => self.tokens.resource(&request, &visit),
            Route::Inbound { call, .. } => self.inbound.answer(*call, request, &visit).await,
            Route::Unknown => Problem::new(Kind::RouteUnknown, "No route of the gateway has this path.").answer(&visit),
        }
    }
}
