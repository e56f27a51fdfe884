// Starts the page, or says why it cannot: too old a browser, or parts that did not come. Written
// for any browser: old ones must be able to read it, so nothing newer than ES5 is used here.
(function () {
  "use strict";

  var chinese = (navigator.language || "").indexOf("zh") === 0;
  var texts = chinese ? {
    old: "您的浏览器版本过旧，无法参加本研究。请更新浏览器，或使用较新的 Chrome、Edge、Firefox 或 Safari" +
      "（2020 年 4 月以后的版本）打开同一链接。您已保存的回答不会丢失。",
    missing: "没有网络连接。页面的一部分未能加载。您提交的内容不会丢失。连接恢复后页面会自动打开。"
  } : {
    old: "This browser is too old for the study. Please update it, or open the same link in a " +
      "newer Chrome, Edge, Firefox or Safari (from April 2020 or later). Nothing you have given " +
      "is lost.",
    missing: "No connection. Part of the page could not be loaded. Nothing you have given is " +
      "lost. The page opens by itself when the connection is back."
  };

  function show(text) {
    var main = document.getElementById("main");
    var line = document.createElement("p");
    line.className = "card";
    line.setAttribute("role", "alert");
    line.appendChild(document.createTextNode(text));
    main.textContent = "";
    main.appendChild(line);
  }

  // What the page's modules use without a substitute of their own.
  function supported() {
    var script = document.createElement("script");
    return "noModule" in script && window.fetch && window.Request && window.AbortController &&
      window.Promise && Promise.prototype.finally && window.URLSearchParams && window.FormData &&
      window.URL && URL.createObjectURL && window.crypto && crypto.getRandomValues &&
      window.Map && window.Set && window.Blob && window.matchMedia &&
      Object.fromEntries && Object.entries && Array.from && Array.prototype.find &&
      Array.prototype.includes && String.prototype.padStart && String.prototype.startsWith &&
      Element.prototype.append && Element.prototype.remove && Element.prototype.closest &&
      Element.prototype.toggleAttribute && "dataset" in script && "classList" in script;
  }

  // A module that did not load stays missing until the page is loaded again.
  function reloadWhenBack(wait) {
    setTimeout(function () {
      var links = document.querySelectorAll("link[rel=modulepreload]");
      Promise.all(Array.from(links, function (link) {
        return fetch(link.href, { cache: "reload" }).then(function (reply) {
          if (!reply.ok) throw new Error(reply.status);
        });
      })).then(function () {
        location.reload();
      }, function () {
        reloadWhenBack(Math.min(wait * 2, 15000));
      });
    }, wait);
  }

  if (!supported()) {
    show(texts.old);
    return;
  }
  window.addEventListener("error", function (event) {
    // Syntax that is newer than the browser: the modules never began. Not that of an extension.
    if (event.error instanceof SyntaxError && /\/rater\/\w+\.js$/.test(event.filename)) {
      show(texts.old);
    }
  });
  var app = document.createElement("script");
  app.type = "module";
  app.src = "rater/app.js";
  app.onerror = function () {
    show(texts.missing);
    reloadWhenBack(1000);
  };
  document.head.appendChild(app);
})();
