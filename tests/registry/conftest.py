from tests.factories.shipping import shop, shop_template  # noqa: F401
