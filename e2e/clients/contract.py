"""Checks answers against the OpenAPI description of the original (see ../contract/README.md)."""

import json
import re

from openapi_schema_validator import OAS30Validator, oas30_format_checker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4


class Contract:
    """The operations of an OpenAPI file, and which of them were called."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.document = json.load(file)
        resource = Resource.from_contents(self.document, default_specification=DRAFT4)
        self.registry = Registry().with_resource("contract:", resource)
        self.operations = [
            (method.upper(), pattern(path), operation)
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
            if method in ("get", "post", "put", "patch", "delete")
        ]
        self.called = set()

    def names(self):
        return {operation["operationId"] for _, _, operation in self.operations}

    def operation(self, method, path):
        """The operation of a request; the one with the fewest places to fill in wins."""
        fits = [
            (regex.groups, operation)
            for verb, regex, operation in self.operations
            if verb == method and regex.fullmatch(path)
        ]
        return min(fits, key=lambda fit: fit[0])[1] if fits else None

    def check(self, method, path, status, content_type, body):
        """What is wrong with an answer, as sentences. Of what the file does not have, nothing is said."""
        operation = self.operation(method, path)
        if operation is None:
            return []
        name = operation["operationId"]
        self.called.add(name)
        where = f"{name} ({method} {path}) {status}"
        responses = operation["responses"]
        response = self.resolve(responses.get(str(status)) or responses.get("default"))
        if response is None:
            return [f"{where}: the status is not described"]
        described = response.get("content", {}).get("application/json")
        if described is None:
            return []
        if not (content_type or "").startswith("application/json"):
            return [f"{where}: the content type is {content_type!r}"]
        try:
            value = json.loads(body)
        except ValueError as error:
            return [f"{where}: no JSON: {error}"]
        validator = OAS30Validator(
            {"$ref": "contract:" + described["schema"]["$ref"]} if "$ref" in described["schema"] else
            rooted(described["schema"]),
            registry=self.registry,
            format_checker=oas30_format_checker,
        )
        return [
            f"{where}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
            for error in validator.iter_errors(value)
        ]

    def resolve(self, value):
        while isinstance(value, dict) and "$ref" in value:
            here = self.document
            for part in value["$ref"].removeprefix("#/").split("/"):
                here = here[part.replace("~1", "/").replace("~0", "~")]
            value = here
        return value


def pattern(path):
    return re.compile("".join("([^/]+)" if part.startswith("{") else re.escape(part) for part in re.split(r"({[^}]+})", path)))


def rooted(schema):
    """The same schema with references that lead into the file from anywhere."""
    if isinstance(schema, dict):
        return {
            key: "contract:" + value if key == "$ref" and value.startswith("#") else rooted(value)
            for key, value in schema.items()
        }
    return [rooted(item) for item in schema] if isinstance(schema, list) else schema
