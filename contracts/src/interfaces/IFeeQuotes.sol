// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title What operators ask for, and what a question therefore costs
/// @notice Amounts are in the smallest unit of the deployment's asset (ITreasury.ASSET).
interface IFeeQuotes {
    /// @notice The least share of a fee for which an operator gives each kind of evidence; NOT_SERVED: for none. Who
    ///         gives two kinds for one request has one share, and asks for the higher of the two.
    struct Asks {
        uint80 signatureWei;
        uint80 proofWei;
        uint80 enclaveWei;
        bool isPosted;
    }

    /// @notice `modelId` 0: for every model that the operator posted nothing else for.
    event AsksPosted(
        address indexed operator, bytes32 indexed modelId, uint80 signatureWei, uint80 proofWei, uint80 enclaveWei
    );
    event AsksRetracted(address indexed operator, bytes32 indexed modelId);

    error NotAnOperator(address caller);
    /// @notice Fewer active operators ask for anything at all for this kind of evidence (Types.EvidenceKind) than the
    ///         policy demands.
    error TooFewAsks(uint8 kind, uint256 demanded, uint256 got);

    /// @notice Posts, or replaces, what the caller asks for.
    /// @param modelId One model, or 0 for all others.
    function post(bytes32 modelId, uint80 signatureWei, uint80 proofWei, uint80 enclaveWei) external;

    /// @notice Takes back what was posted for a model: from then on the default holds for it, or nothing.
    function retract(bytes32 modelId) external;

    /// @notice What an operator asks for a model: what it posted for it, else its default; zeros, and not posted, where
    ///         it has neither.
    function asksOf(address operator, bytes32 modelId) external view returns (Asks memory);

    /// @notice The least fee with which enough active operators are content, whoever of them answers with what:
    ///         `shares` times `shareWei`. One share for each piece of evidence, as if each came from another; where one
    ///         operator gives two, the shares are fewer and larger (FeeSplit). Those who posted nothing do not count.
    /// @dev WARNING: a price, not a promise. Operators can post another before the question arrives, and a relay has
    ///      its own terms.
    function quote(bytes32 modelId, bytes32 policy)
        external
        view
        returns (uint256 feeWei, uint256 shareWei, uint256 shares);
}
