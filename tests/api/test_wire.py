from api.wire import addressing


def test_pictures_have_the_address_of_whoever_serves_them() -> None:
    addressed = addressing(lambda file: f"https://cdn.example.com/{file}")
    body = b'{"images":["media:///a/large.webp","https://else.example.com/media:///b.webp"]}'
    assert addressed(body) == (
        b'{"images":["https://cdn.example.com/a/large.webp","https://else.example.com/media:///b.webp"]}'
    )
