from tests.factories.shipping import shop, shop_template  # noqa: F401
from tests.factories.signed import keys, private, repository  # noqa: F401
