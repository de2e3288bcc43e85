"""The form of every template by keyboard alone: Tab comes by every control, and one always sees where one is."""

import pytest
from playwright.sync_api import expect

from datasets.transforms import TRANSFORMS
from tests.factories import make_ingest_job, make_workflow

pytestmark = pytest.mark.django_db(transaction=True)

# Numbers every control that a person who sees the form could use; of radios of one name Tab takes one.
NUMBER = """() => {
  const controls = [...document.querySelectorAll("#job-form :is(input, select, textarea, button, summary, a[href])")];
  const usable = controls.filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled &&
    one.type !== "hidden" && one.tabIndex >= 0 && !(one.type === "radio" && !one.checked));
  usable.forEach((one, place) => { one.dataset.tabNumber = place; });
  return usable.map((one) => one.id || one.name || one.textContent.trim().slice(0, 40));
}"""
# Where the focus is: the number of the control, and whether it or what is drawn around it shows that.
WHERE = """() => {
  const one = document.activeElement;
  const isDrawn = (each) => {
    const style = getComputedStyle(each);
    return style.outlineStyle !== "none" && style.outlineWidth !== "0px";
  };
  let around = one, isSeen = false;
  for (let up = 0; up < 4 && around && !isSeen; up += 1, around = around.parentElement) isSeen = isDrawn(around);
  return { number: one.dataset.tabNumber, isSeen, name: one.id || one.name || one.className || one.tagName };
}"""


@pytest.mark.parametrize("template", TRANSFORMS)
def test_tab_comes_by_every_control_of_a_form_and_the_focus_is_seen(page, template):
    make_ingest_job(make_workflow())
    layer = TRANSFORMS[template].layers[0]
    page.goto(f"/workflows/shop/{layer}-jobs/new/")
    page.locator(f"[name=transform_type][value={template}]").focus()
    page.keyboard.press("Space")
    expect(page.locator("#check")).to_contain_text("Still needed")
    names = page.evaluate(NUMBER)
    seen, unseen = set(), []
    page.locator("[name=transform_type]:checked").focus()
    for _ in range(3 * len(names)):
        where = page.evaluate(WHERE)
        if where["number"] is not None:
            seen.add(int(where["number"]))
            unseen += [] if where["isSeen"] else [where["name"]]
        if len(seen) == len(names):
            break
        page.keyboard.press("Tab")
    assert [name for place, name in enumerate(names) if place not in seen] == []
    assert unseen == []
