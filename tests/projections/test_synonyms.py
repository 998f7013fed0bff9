"""One file of synonyms, in Solr's format."""

import json
from zlib import crc32

from projections.product_search.projector import PRODUCT_SEARCH
from projections.product_search.synonyms import meanings, shipped_meanings, shipped_rules, synonym_rules
from projections.projection import SearchIndex


def test_comments_and_empty_lines_are_no_rules() -> None:
    assert synonym_rules("# words\n\n sofa, couch # and more\n") == ["sofa, couch"]


def test_terms_of_a_line_stand_for_one_another_and_an_arrow_replaces() -> None:
    assert meanings(["Sofa,  couch", "auto => car, motor car", "couch, settee"]) == {
        "sofa": ("sofa", "couch"),
        "couch": ("sofa", "couch", "settee"),
        "auto": ("car", "motor car"),
        "settee": ("couch", "settee"),
    }


def test_the_shipped_file_is_well_formed() -> None:
    assert all("=>" in rule or "," in rule for rule in shipped_rules())
    assert shipped_meanings()["laptop"] == ("laptop", "notebook computer", "portable computer")
    assert "smartphone" in shipped_meanings()["phone"]


def test_whoever_changes_them_or_how_else_products_are_indexed_raises_the_version() -> None:
    """Only an index that is built anew knows other words."""
    into = PRODUCT_SEARCH.into
    assert isinstance(into, SearchIndex)
    made = json.dumps([into.settings, into.mappings], sort_keys=True).encode()
    assert (PRODUCT_SEARCH.version, crc32(made)) == (5, 4170630556)
