"""An import contract that the linter lacks: a package imports our code, the standard library, and a short list."""

import sys

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class AllowedExternalsContract(Contract):
    """Unlike a list of forbidden packages, this also refuses the package that somebody adds tomorrow."""

    type_name = "allowed_externals"

    source_packages = fields.ListField(subfield=fields.StringField())
    allowed = fields.SetField(subfield=fields.StringField())
    forbidden = fields.SetField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        allowed, forbidden = set(self.allowed), set(self.forbidden)  # type: ignore[call-overload]  # a field's value
        own = {module.partition(".")[0] for module in graph.modules if not graph.is_module_squashed(module)}
        strangers = sorted(
            (module, imported)
            for package in self.source_packages  # type: ignore[attr-defined]  # a field's value
            for module in (package, *graph.find_descendants(package))
            for imported in graph.find_modules_directly_imported_by(module)
            if (root := imported.partition(".")[0]) not in own | allowed
            and (root not in sys.stdlib_module_names or root in forbidden)
        )
        return ContractCheck(kept=not strangers, metadata={"strangers": strangers})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for module, imported in check.metadata["strangers"]:
            output.print_error(f"{module} imports {imported}")
