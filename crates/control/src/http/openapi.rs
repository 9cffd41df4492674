//! `GET /openapi.json`: the API's description, made of the one table of routes and of the wire types.

use axum::{
    body::Bytes,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use mainstay_api::{ErrorBody, TokenScope};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::access::Route;

type Make = fn(&mut SchemaGenerator) -> Schema;

/// What a client has to know of a route beside its method and path.
#[derive(Default)]
pub(crate) struct Operation {
    id: &'static str,
    summary: &'static str,
    /// Objects whose fields are the parameters.
    queries: Vec<Make>,
    body: Body,
    answer: Option<Make>,
}

#[derive(Default)]
enum Body {
    #[default]
    None,
    Bytes,
    Json {
        make: Make,
        required: bool,
    },
}

impl Route {
    pub(super) fn named(mut self, id: &'static str, summary: &'static str) -> Self {
        self.operation.id = id;
        self.operation.summary = summary;
        self
    }

    pub(super) fn asks<T: JsonSchema>(mut self) -> Self {
        self.operation.queries.push(T::json_schema);
        self
    }

    pub(super) fn takes<T: JsonSchema>(mut self) -> Self {
        let make: Make = SchemaGenerator::subschema_for::<T>;
        self.operation.body = Body::Json { make, required: true };
        self
    }

    /// An empty body asks for nothing special.
    pub(super) fn may_take<T: JsonSchema>(mut self) -> Self {
        let make: Make = SchemaGenerator::subschema_for::<T>;
        self.operation.body = Body::Json {
            make,
            required: false,
        };
        self
    }

    pub(super) fn takes_bytes(mut self) -> Self {
        self.operation.body = Body::Bytes;
        self
    }

    pub(super) fn gives<T: JsonSchema>(mut self) -> Self {
        self.operation.answer = Some(SchemaGenerator::subschema_for::<T>);
        self
    }
}

pub(super) fn answer(document: Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], document).into_response()
}

/// OpenAPI 3.0, which the original's description has, too.
pub(super) fn document(routes: &[Route]) -> Value {
    let mut schemas = SchemaSettings::openapi3().into_generator();
    let error = schemas.subschema_for::<ErrorBody>();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let described = operation(route, &mut schemas);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_lowercase()] = described;
    }
    json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Mainstay",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The App Platform API, and Mainstay's additions: below /v2/mainstay, and as fields that say so.",
            "license": { "name": "Apache-2.0" },
        },
        "security": [{ "bearer_auth": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "responses": { "error": refusal(&error) },
            "securitySchemes": { "bearer_auth": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn refusal(error: &Schema) -> Value {
    json!({
        "description": "Refused or failed; `id` is the word for the status.",
        "headers": {
            "x-request-id": { "schema": { "type": "string" } },
            "ratelimit-limit": { "schema": { "type": "integer" } },
            "ratelimit-remaining": { "schema": { "type": "integer" } },
            "ratelimit-reset": { "schema": { "type": "integer" }, "description": "Seconds since 1970." },
        },
        "content": { "application/json": { "schema": error } },
    })
}

fn operation(route: &Route, schemas: &mut SchemaGenerator) -> Value {
    let operation = &route.operation;
    let mut parameters: Vec<Value> = path_parameters(route.path).collect();
    for query in &operation.queries {
        parameters.extend(query_parameters(*query, schemas));
    }
    let answer = operation.answer.map(|make| make(schemas));
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "description": format!("Needs a token that may {}.", needs(route.needs)),
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "Done.",
                "content": { "application/json": { "schema": answer } },
            },
            "default": { "$ref": "#/components/responses/error" },
        },
    });
    let body = match &operation.body {
        Body::None => return described,
        Body::Bytes => json!({
            "required": true,
            "content": { "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } },
        }),
        Body::Json { make, required } => json!({
            "required": required,
            "content": { "application/json": { "schema": make(schemas) } },
        }),
    };
    described["requestBody"] = body;
    described
}

fn needs(scope: TokenScope) -> &'static str {
    match scope {
        TokenScope::Admin => "administer",
        TokenScope::Write => "write",
        _ => "read",
    }
}

/// Ids of apps may be names where only one app can be meant; everything else below an app is an id or a name.
fn path_parameters(path: &str) -> impl Iterator<Item = Value> {
    let places = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    places.map(|name| {
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } })
    })
}

/// Lists are given by repeating the parameter.
fn query_parameters(make: Make, schemas: &mut SchemaGenerator) -> Vec<Value> {
    let mut object = make(schemas);
    for transform in schemas.transforms_mut() {
        transform.transform(&mut object);
    }
    let required: Vec<String> = object
        .get("required")
        .and_then(|names| serde_json::from_value(names.clone()).ok())
        .unwrap_or_default();
    let fields = object.get_mut("properties").map(Value::take);
    let Some(Value::Object(fields)) = fields else {
        return Vec::new();
    };
    fields
        .into_iter()
        .map(|(name, mut schema)| {
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            if let Some(schema) = schema.as_object_mut() {
                // What is not given has no null to be given.
                schema.remove("nullable");
            }
            let required = required.contains(&name);
            json!({ "name": name, "in": "query", "required": required, "schema": schema, "description": description.unwrap_or_default() })
        })
        .map(without_nothing)
        .collect()
}

/// An empty description is none.
fn without_nothing(mut parameter: Value) -> Value {
    if let Some(fields) = parameter.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    parameter
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{super::routes, *};

    const CONTRACT: &str = include_str!("../../../../e2e/contract/openapi-apps.json");

    /// Method, path and id of every operation.
    fn operations(document: &Value) -> BTreeSet<(String, String, String)> {
        let paths = document["paths"].as_object().expect("it has paths");
        let all = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").iter();
            methods.filter_map(move |(method, operation)| {
                let id = operation["operationId"].as_str()?;
                Some((method.clone(), path.clone(), id.to_owned()))
            })
        });
        all.collect()
    }

    #[test]
    fn every_route_is_described_and_those_of_the_original_as_there() {
        let routes = routes::all();
        let described = operations(&document(&routes));
        assert_eq!(described.len(), routes.len());
        let ids: BTreeSet<&String> = described.iter().map(|(_, _, id)| id).collect();
        assert_eq!(ids.len(), routes.len(), "ids are unique");
        assert!(ids.iter().all(|id| !id.is_empty()));
        assert!(routes.iter().all(|route| route.operation.answer.is_some()));
        let contract: Value = serde_json::from_str(CONTRACT).expect("the contract is JSON");
        let missing: Vec<_> = operations(&contract).difference(&described).cloned().collect();
        assert!(missing.is_empty(), "{missing:#?}");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document(&routes::all());
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap_or_default();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
        assert!(
            document
                .pointer("/components/schemas/AppSpec/properties/services")
                .is_some()
        );
        let page = &document["paths"]["/v2/apps"]["get"]["parameters"][0];
        assert_eq!(
            (&page["name"], &page["schema"]["minimum"]),
            (&json!("page"), &json!(1))
        );
    }
}
