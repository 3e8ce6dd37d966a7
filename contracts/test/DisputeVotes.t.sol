// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {Request} from "../src/libraries/Types.sol";
import {DisputedAnswer} from "./DisputedAnswer.sol";
import {vm} from "./Vm.sol";

/// @title Voting: sealed, once, by members alone
contract DisputeVotesTest is DisputedAnswer {
    uint256 private constant NEW_KEY = uint256(keccak256("new key"));

    // ---- voting ----------------------------------------------------------------------------------------------------

    function test_OnlyMembersVoteAndOnlyOnce() public {
        openAs(CHALLENGER, asked);
        address[] memory members = draw(id);
        bytes32 commitment = disputes.computeCommitment(id, STRANGER, keccak256(TRUTH), SALT);
        for (uint256 i; i < OPERATORS; ++i) {
            if (!isAmong(operatorAt(i), members)) expectCommitRefused(operatorAt(i), commitment);
            if (!isAmong(operatorAt(i), members)) expectCommitRefused(vm.addr(keyOf(i)), commitment);
        }
        expectCommitRefused(STRANGER, commitment);
        commitAs(id, members[0], TRUTH);
        vm.prank(members[0]);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.AlreadyCommitted.selector, id, members[0]));
        disputes.commitVote(id, commitment);
        vm.prank(members[1]);
        vm.expectRevert(IDisputes.EmptyVote.selector);
        disputes.commitVote(id, 0);
    }

    function test_ASigningKeyVotesForItsOperatorAndOnlyTheCurrentOne() public {
        openAs(CHALLENGER, asked);
        address member = draw(id)[0];
        (address key, uint256 newKey) = (operators.signerOf(member), NEW_KEY);
        vm.assertEq(disputes.memberOf(id, key), member);
        bytes memory possession = signDigest(newKey, operators.computePossessionDigest(member, vm.addr(newKey)));
        vm.prank(member);
        operators.rotateSigner(vm.addr(newKey), possession);
        expectCommitRefused(key, keccak256("any"));
        commitTwice(vm.addr(newKey), member);
    }

    function test_ACopiedCommitmentOpensForNobodyElse() public {
        openAs(CHALLENGER, asked);
        address[] memory members = draw(id);
        commitAs(id, members[0], TRUTH);
        bytes32 copied = disputes.voteOf(id, members[0]).commitment;
        vm.prank(members[1]);
        disputes.commitVote(id, copied);
        vm.warp(disputes.infoOf(id).commitEndsAt);
        revealAs(id, members[0], TRUTH);
        vm.prank(members[1]);
        vm.expectPartialRevert(IDisputes.CommitmentMismatch.selector);
        disputes.revealVote(id, keccak256(TRUTH), SALT);
    }

    function test_AVoteIsRevealedAsCommittedAndOnce() public {
        openAs(CHALLENGER, asked);
        address[] memory members = draw(id);
        commitAs(id, members[0], TRUTH);
        commitAs(id, members[2], TRUTH);
        vm.warp(disputes.infoOf(id).commitEndsAt);
        expectRevealRefused(members[0], keccak256(LIE), SALT, IDisputes.CommitmentMismatch.selector);
        expectRevealRefused(members[0], keccak256(TRUTH), bytes32(0), IDisputes.CommitmentMismatch.selector);
        expectRevealRefused(members[0], 0, SALT, IDisputes.EmptyVote.selector);
        expectRevealRefused(members[1], keccak256(TRUTH), SALT, IDisputes.CommitmentMismatch.selector); // none
        expectRevealRefused(STRANGER, keccak256(TRUTH), SALT, IDisputes.NotMember.selector);
        revealAs(id, members[0], TRUTH);
        expectRevealRefused(members[0], keccak256(TRUTH), SALT, IDisputes.AlreadyRevealed.selector);
        expectRevealRefused(members[0], keccak256(LIE), SALT, IDisputes.AlreadyRevealed.selector);
    }

    function test_EveryPhaseEndsToTheSecond() public {
        openAs(CHALLENGER, asked);
        address[] memory members = draw(id);
        IDisputes.Info memory info = disputes.infoOf(id);
        commitAs(id, members[0], TRUTH);
        expectRevealRefused(members[0], keccak256(TRUTH), SALT, IDisputes.WrongPhase.selector);
        vm.warp(info.commitEndsAt - 1);
        commitAs(id, members[1], TRUTH);
        vm.warp(info.commitEndsAt);
        vm.prank(members[2]);
        vm.expectPartialRevert(IDisputes.WrongPhase.selector);
        disputes.commitVote(id, keccak256("late"));
        revealAs(id, members[0], TRUTH);
        vm.warp(info.revealEndsAt - 1);
        requireOutcome(id, IDisputes.Outcome.OPEN);
        vm.warp(info.revealEndsAt);
        expectRevealRefused(members[1], keccak256(TRUTH), SALT, IDisputes.WrongPhase.selector);
        requireOutcome(id, IDisputes.Outcome.NO_MAJORITY);
        vm.assertEq(disputes.rulingOf(id).closedAt, info.revealEndsAt);
    }

    /// @dev Nobody waits for a time in which nothing can happen any more.
    function test_PhasesEndEarlyWhenAllHaveActed() public {
        openAs(CHALLENGER, asked);
        address[] memory members = draw(id);
        for (uint256 i; i < 5; ++i) {
            commitAs(id, members[i], TRUTH);
        }
        requirePhase(IDisputes.Phase.REVEALING);
        vm.assertEq(disputes.infoOf(id).revealEndsAt, vm.getBlockTimestamp() + 900);
        for (uint256 i; i < 5; ++i) {
            requireOutcome(id, IDisputes.Outcome.OPEN);
            revealAs(id, members[i], TRUTH);
        }
        requireOutcome(id, IDisputes.Outcome.REPLACED);
        vm.assertEq(disputes.rulingOf(id).closedAt, vm.getBlockTimestamp());
    }

    function test_AVoteForOneRequestIsNoneForAnother() public {
        Request memory other = deliverDisputable(LIE);
        openAs(CHALLENGER, asked);
        bytes32 otherId = openAs(CHALLENGER, other);
        address[] memory members = draw(id);
        address[] memory others = draw(otherId);
        for (uint256 i; i < 5; ++i) {
            if (!isAmong(members[i], others)) continue;
            bytes32 commitment = disputes.computeCommitment(id, members[i], keccak256(TRUTH), SALT);
            vm.prank(members[i]);
            disputes.commitVote(otherId, commitment);
            vm.warp(disputes.infoOf(otherId).commitEndsAt);
            vm.prank(members[i]);
            vm.expectPartialRevert(IDisputes.CommitmentMismatch.selector);
            disputes.revealVote(otherId, keccak256(TRUTH), SALT);
            return;
        }
        revert("no common member");
    }

    /// @dev A seat that changes hands takes no vote with it: members are accounts.
    function test_WhoTakesAMembersSeatHasNoVote() public {
        openAs(CHALLENGER, asked);
        address member = draw(id)[0];
        (uint8 index,) = operators.operatorInfo(member);
        vm.prank(member);
        operators.beginExit();
        vm.warp(START + UNBONDING_SECONDS);
        vm.prank(member);
        operators.withdrawStake(payable(member));
        bytes memory possession = signDigest(NEW_KEY, operators.computePossessionDigest(STRANGER, vm.addr(NEW_KEY)));
        vm.deal(STRANGER, MIN_STAKE_WEI);
        vm.prank(STRANGER);
        operators.register{value: MIN_STAKE_WEI}(index, vm.addr(NEW_KEY), possession);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotMember.selector, id, STRANGER));
        disputes.memberOf(id, STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotMember.selector, id, vm.addr(NEW_KEY)));
        disputes.memberOf(id, vm.addr(NEW_KEY));
    }

    // ---- inside ----------------------------------------------------------------------------------------------------

    function expectCommitRefused(address who, bytes32 commitment) private {
        vm.prank(who);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.NotMember.selector, id, who));
        disputes.commitVote(id, commitment);
    }

    function expectRevealRefused(address who, bytes32 outputDigest, bytes32 salt, bytes4 reason) private {
        vm.prank(who);
        vm.expectPartialRevert(reason);
        disputes.revealVote(id, outputDigest, salt);
    }

    /// @dev First as the key, then refused as the operator: they have one vote between them.
    function commitTwice(address key, address member) private {
        vm.prank(key);
        disputes.commitVote(id, keccak256("sealed"));
        vm.prank(member);
        vm.expectRevert(abi.encodeWithSelector(IDisputes.AlreadyCommitted.selector, id, member));
        disputes.commitVote(id, keccak256("sealed"));
    }

    function requirePhase(IDisputes.Phase phase) private view {
        vm.assertEq(uint256(disputes.infoOf(id).phase), uint256(phase), "phase");
    }
}
