"""Texts that stand beside pictures and describe none: data for `clean_rules`.

Collected from what papers name (CC3M: "click to enlarge picture", "stock photo", "embedded image
permalink", "profile photo") and from navigation, share buttons and content management systems. A
word that may well be all there is to say of a picture (`flag`, `map`, `star`) is not among them.
"""

BOILERPLATE = frozenset(
    phrase
    for line in """
    image|images|img|photo|photos|picture|pictures|pic|figure|fig|thumbnail|thumb|icon|logo
    company logo|site logo|website logo|logo image|brand logo|header logo|footer logo|banner
    header|header image|footer|background|background image|hero image|cover image|cover photo
    avatar|user avatar|profile|profile photo|profile picture|profile image|author photo
    author image|author|featured image|feature image|main image|article image|post image
    product image|product photo|gallery image|slide|slide image|slideshow|carousel|image gallery
    gallery|photo gallery|default|default image|placeholder|placeholder image|image placeholder
    spacer|tracking pixel|loading|loader|loading image|spinner|please wait|no image|no photo
    no picture|no image available|no photo available|image not available|image not found
    photo not available|image unavailable|image coming soon|picture coming soon
    photo coming soon|coming soon|missing image|broken image|untitled|no title|no description
    no caption|alt|alt text|alt tag|image alt|image alt text|image description|caption|title
    description|insert image|insert alt text here|enter alt text|null|none|undefined|nan|n/a
    stock photo|stock photos|stock image|stock images|stock photography|royalty free image
    embedded image permalink|image permalink|enlarge|enlarge image|enlarge photo|enlarge picture
    view larger|view larger image|view full size|view image|view photo|full size|full size image
    larger image|large image|zoom|zoom in|expand|expand image|open image|see larger image
    image may contain|advertisement|advertising|advert|ad|ads|sponsored|sponsor|promo|promotion
    home|homepage|home page|next|next page|next image|previous|previous page|previous image|prev
    back|back to top|to top|top|arrow|arrow left|arrow right|left arrow|right arrow|down arrow
    up arrow|menu|main menu|close|close menu|open menu|open|play|play video|play button|pause
    video|watch video|video thumbnail|search|search icon|share|share this|share on facebook
    share on twitter|share on pinterest|facebook|facebook icon|facebook logo|twitter
    twitter icon|twitter logo|instagram|instagram icon|youtube|linkedin|pinterest|pin it|tumblr
    whatsapp|reddit|rss|rss feed|email|e-mail|mail|print|print this page|download|read more|more
    learn more|more info|more information|info|information|help|note|tip|warning|caution
    important|attention|edit|delete|remove|comment|comments|reply|like|likes|link|permalink
    external link|login|log in|sign in|sign up|register|subscribe|cart|shopping cart|add to cart
    buy now|wishlist|captcha|copyright|all rights reserved|privacy policy|cookie|cookies|accept
    powered by wordpress|wordpress|creative commons license|creative commons licence|bild|foto
    fotos|bilder|kein bild|kein bild vorhanden|platzhalter|vorschaubild|weiterlesen|imagen
    imágenes|sin imagen|imagen no disponible|anterior|siguiente|imagem|sem imagem
    photo de profil|photo non disponible|pas d'image|logo du site|immagine|nessuna immagine
    afbeelding|geen afbeelding|bilde|kuva|obraz|zdjęcie|brak zdjęcia|изображение|фото|картинка
    нет фото|логотип|图片|照片|暂无图片|图像|画像|写真|ロゴ|이미지|사진|로고
    """.splitlines()
    for phrase in line.strip().split("|")
    if phrase
)
"""In small letters, without punctuation at either end; a text that is one of these says nothing."""

COUNTED = (
    r"^(?:image|img|photo|picture|pic|slide|page|fig(?:ure)?|thumbnail|thumb|gallery|product|item"
    r"|banner|icon|bild|foto|imagen|screenshot)(?: (?:no|number|nr|n°))?\.? ?#?[0-9]+"
    r"(?: ?(?:of|from|/|-|von|de) ?[0-9]+)?$"
)
"""`Image 3 of 12`, in small letters."""

INVITATION = (
    r"^(?:please )?(?:click|tap|press|hover)(?: (?:here|on|the|this|image|photo|picture))*"
    r" (?:to|for)(?: (?:a|an|the))? (?:enlarge|zoom|view|see|open|expand|play|read|show|watch"
    r"|larger|bigger|full|high|more|details)(?: [^ ]+){0,4}$"
)
"""`Click to enlarge the picture`, in small letters."""

STRIPPED = (
    r"(?i)\b(?:click|tap)(?: (?:here|on|image|photo|picture|thumbnail))*"
    r" (?:to enlarge|to zoom|to view larger|to expand|for (?:a )?(?:larger|bigger|full size))"
    r"(?: (?:the )?(?:image|picture|photo|view|version))?\b"
    r"|(?i)\b(?:royalty[- ]free )?stock (?:photos?|images?|photography|pictures?|illustrations?"
    r"|vectors?)\b|(?i)\bembedded image permalink\b|(?i)\bimage may contain:?"
)
"""Cut out of captions by CC3M and CC12M."""

DETERMINERS = (
    *("a", "an", "the", "this", "that", "these", "those", "my", "your", "his", "her", "its", "our"),
    *("their", "some", "any", "no", "every", "each", "either", "neither", "both", "all", "another"),
    *("such", "which", "whose", "several", "many", "few", "much", "half"),
)
PREPOSITIONS = (
    *(
        "about",
        "above",
        "across",
        "after",
        "against",
        "along",
        "alongside",
        "amid",
        "among",
        "around",
    ),
    *(
        "at",
        "atop",
        "before",
        "behind",
        "below",
        "beneath",
        "beside",
        "besides",
        "between",
        "beyond",
    ),
    *("by", "despite", "down", "during", "except", "for", "from", "in", "inside", "into", "like"),
    *(
        "near",
        "of",
        "off",
        "on",
        "onto",
        "opposite",
        "out",
        "outside",
        "over",
        "past",
        "per",
        "round",
    ),
    *("since", "through", "throughout", "till", "to", "toward", "towards", "under", "underneath"),
    *("until", "up", "upon", "via", "with", "within", "without"),
)
"""Closed classes of English: a list finds them without a tagger, words of two classes included."""
