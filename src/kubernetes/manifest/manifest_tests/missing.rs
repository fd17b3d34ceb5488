//! Images that are not written yet.

use super::*;

#[test]
fn an_empty_or_missing_image_is_written_beside_its_siblings() {
    let of = |container: &str| deployment(container);
    for (before, after) in [
        (
            "      - name: web-app\n        image:\n        ports: []\n",
            "      - name: web-app\n        image: NEW\n        ports: []\n",
        ),
        (
            "      - name: web-app\n        image:   # c\n",
            "      - name: web-app\n        image: NEW   # c\n",
        ),
        (
            "      - name: web-app\n        image: # {\"$imagepolicy\": \"a:b\"}\n",
            "      - name: web-app\n        image: NEW # {\"$imagepolicy\": \"a:b\"}\n",
        ),
        (
            "      - name: web-app\n        image:",
            "      - name: web-app\n        image: NEW",
        ),
        (
            "      - image:\n        name: web-app\n",
            "      - image: NEW\n        name: web-app\n",
        ),
        (
            "      - name: web-app\n        image: ~\n",
            "      - name: web-app\n        image: NEW\n",
        ),
        (
            "      - name: web-app\n        image: null # c\n",
            "      - name: web-app\n        image: NEW # c\n",
        ),
        (
            "      - name: web-app\n        image: ''\n",
            "      - name: web-app\n        image: 'NEW'\n",
        ),
        (
            "      - name: web-app\n        image: \"\"\n",
            "      - name: web-app\n        image: \"NEW\"\n",
        ),
        (
            "      - name: web-app # c\n        ports: []\n",
            "      - name: web-app # c\n        image: NEW\n        ports: []\n",
        ),
        (
            "      - ports: []\n        name: web-app\n",
            "      - ports: []\n        name: web-app\n        image: NEW\n",
        ),
        (
            "      -   name: web-app",
            "      -   name: web-app\n          image: NEW",
        ),
        (
            "      -\n        name: web-app\n\n# c\n",
            "      -\n        name: web-app\n        image: NEW\n\n# c\n",
        ),
        (
            "      - {name: web-app, tty: true}\n",
            "      - {name: web-app, image: NEW, tty: true}\n",
        ),
        (
            "      - {name: web-app}\n",
            "      - {name: web-app, image: NEW}\n",
        ),
        (
            "      - {name: web-app, image: , a: b}\n",
            "      - {name: web-app, image: NEW , a: b}\n",
        ),
        (
            "      - {image, name: web-app}\n",
            "      - {image: NEW, name: web-app}\n",
        ),
        (
            "      - {\n          name: web-app, # c\n          tty: true\n        }\n",
            "      - {\n          name: web-app,\n          image: NEW, # c\n          tty: true\n        }\n",
        ),
    ] {
        changes(&of(before), &of(after));
        let crlf = |text: &str| of(text).replace('\n', "\r\n");
        changes(&crlf(before), &crlf(after));
    }
    let json = "{\"kind\": \"Pod\", \"spec\": {\"containers\": [{CONTAINER}]}}";
    for (before, after) in [
        (
            "\"name\":\"web-app\"",
            "\"name\":\"web-app\", \"image\": \"NEW\"",
        ),
        (
            "\"image\":\"\",\"name\":\"web-app\"",
            "\"image\":\"NEW\",\"name\":\"web-app\"",
        ),
        (
            "\"image\":null,\"name\":\"web-app\"",
            "\"image\":\"NEW\",\"name\":\"web-app\"",
        ),
        (
            "\n\t\"name\": \"web-app\",\n\t\"tty\": true\n",
            "\n\t\"name\": \"web-app\",\n\t\"image\": \"NEW\",\n\t\"tty\": true\n",
        ),
    ] {
        changes(
            &json.replace("CONTAINER", before),
            &json.replace("CONTAINER", after),
        );
    }
}
