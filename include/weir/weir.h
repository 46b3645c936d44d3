/* weir: the core, in one include. */
#ifndef WEIR_H
#define WEIR_H

#include <weir/breaker.h>
#include <weir/bulkhead.h>
#include <weir/chaos.h>
#include <weir/controller.h>
#include <weir/fallback.h>
#include <weir/gate.h>
#include <weir/guard.h>
#include <weir/lock.h>
#include <weir/pipeline.h>
#include <weir/rate.h>
#include <weir/retry.h>
#include <weir/run.h>
#include <weir/share.h>
#include <weir/timeout.h>

#endif
