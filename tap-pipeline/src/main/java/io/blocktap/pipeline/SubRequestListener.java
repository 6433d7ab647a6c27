package io.blocktap.pipeline;

/** Hears how a request ended that a stage has sent to the stages below it ({@link RequestStream#newRequestBelow}). */
@FunctionalInterface
public interface SubRequestListener {
    /**
     * Called on the event loop, once. The request is recycled when this returns; take its data before ({@link BlockRequest#takeData}) if they are needed
     * longer. {@link BlockRequest#parent} is the request on whose behalf it was sent; complete or resume that one when nothing more is to be done.
     */
    void onAnswer(BlockResponse response);
}
