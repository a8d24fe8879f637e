"use strict";

/* Draws the OpenAPI document with Swagger UI; without JavaScript the page links to the document. */
{
  const place = document.getElementById("api");
  window.SwaggerUIBundle({
    domNode: place,
    url: place.dataset.document,
    deepLinking: true,
    docExpansion: "none",
    persistAuthorization: false,
    validatorUrl: null,
  });
}
