// Opens all of a page, and returns what is wrong with it.
(async function () {
  var faults = [];
  function scrolls(element) {
    for (; element && element !== document.body; element = element.parentElement) {
      if (getComputedStyle(element).overflowX !== "visible") return true;
    }
    return false;
  }
  // A link to the page of a visit opens it.
  var link = document.querySelector("td a[href^='#visit-']");
  var leaf = link && document.getElementById(link.getAttribute("href").slice(1));
  if (leaf) {
    link.click();
    await new Promise(function (done) { setTimeout(done, 200); });
    if (!leaf.open) faults.push("a link does not open " + leaf.id);
  }
  document.querySelectorAll("details").forEach(function (each) { each.open = true; });
  var images = Array.prototype.slice.call(document.images);
  for (var image of images) {
    image.loading = "eager";
    try { await image.decode(); } catch (fault) { faults.push("not decoded: " + image.alt); }
    if (!image.naturalWidth) faults.push("empty: " + image.alt);
    if (image.hasAttribute("width") && +image.getAttribute("width") !== image.naturalWidth) {
      faults.push("other width: " + image.alt);
    }
  }
  var width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) {
    var wide = Array.prototype.filter.call(document.body.querySelectorAll("*"), function (each) {
      return each.getBoundingClientRect().right > width + 1 && !scrolls(each.parentElement);
    });
    faults.push("wider than " + width + ": " + document.documentElement.scrollWidth + " " +
                wide.slice(0, 3).map(function (each) { return each.outerHTML.slice(0, 80); }).join(" | "));
  }
  document.querySelectorAll("a[href]").forEach(function (each) {
    var target = each.getAttribute("href");
    var there = target[0] === "#" && document.getElementById(decodeURIComponent(target.slice(1)));
    if (!there) faults.push("dead link: " + target);
  });
  // The head of a column sorts, by a click and by the keyboard.
  var head = document.querySelector("section table th");
  if (head) {
    head.click();
    if (head.getAttribute("aria-sort") !== "ascending") faults.push("a click does not sort");
    head.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    if (head.getAttribute("aria-sort") !== "descending") faults.push("Enter does not sort");
  }
  return { faults: faults, images: images.length, width: width };
})()
