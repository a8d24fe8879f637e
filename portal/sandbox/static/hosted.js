// Small comforts; every page works without this file.
(function () {
  "use strict";

  function groups(digits) {
    var amex = /^3[47]/.test(digits);
    var parts = amex
      ? [digits.slice(0, 4), digits.slice(4, 10), digits.slice(10, 15)]
      : digits.slice(0, 19).match(/.{1,4}/g) || [];
    return parts.filter(Boolean).join(" ");
  }

  function keepCaretAtEnd(input, write) {
    input.addEventListener("input", function () {
      if (input.selectionStart === input.value.length) {
        input.value = write(input.value.replace(/\D/g, ""));
      }
    });
  }

  var number = document.getElementById("card_number");
  var expiry = document.getElementById("exp");
  var code = document.getElementById("cvc");

  if (number) {
    keepCaretAtEnd(number, groups);
  }
  if (expiry) {
    var before = "";
    expiry.addEventListener("input", function () {
      var digits = expiry.value.replace(/\D/g, "").slice(0, 4);
      if (expiry.value.length > before.length && digits.length >= 2) {
        expiry.value = digits.slice(0, 2) + " / " + digits.slice(2);
      }
      before = expiry.value;
    });
  }

  document.querySelectorAll("a[data-number]").forEach(function (link) {
    link.addEventListener("click", function (event) {
      if (!number || !expiry || !code) {
        return;
      }
      event.preventDefault();
      number.value = link.dataset.number;
      expiry.value = "12 / " + String((new Date().getFullYear() + 8) % 100);
      code.value = link.dataset.cvc;
      document.querySelectorAll(".field-error").forEach(function (text) {
        text.remove();
      });
      document.querySelectorAll("[aria-invalid]").forEach(function (field) {
        field.removeAttribute("aria-invalid");
      });
      number.focus();
    });
  });

  document.querySelectorAll("form[data-once]").forEach(function (form) {
    form.addEventListener("submit", function (event) {
      if (form.dataset.sent) {
        event.preventDefault();
        return;
      }
      form.dataset.sent = "1";
      var button = event.submitter;
      if (button) {
        button.classList.add("busy");
        button.setAttribute("aria-busy", "true");
      }
    });
  });

  document.querySelectorAll("button[data-copy]").forEach(function (button) {
    var field = document.getElementById(button.dataset.copy);
    button.hidden = false;
    button.addEventListener("click", function () {
      field.select();
      var done = navigator.clipboard
        ? navigator.clipboard.writeText(field.value)
        : Promise.resolve(document.execCommand("copy"));
      done.then(function () {
        button.textContent = "Copied";
        setTimeout(function () {
          button.textContent = "Copy";
        }, 2000);
      });
    });
  });

  window.addEventListener("pageshow", function (event) {
    if (!event.persisted) {
      return;
    }
    document.querySelectorAll("form[data-once]").forEach(function (form) {
      delete form.dataset.sent;
    });
    document.querySelectorAll(".busy").forEach(function (button) {
      button.classList.remove("busy");
      button.removeAttribute("aria-busy");
    });
  });
})();
